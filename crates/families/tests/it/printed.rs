//! Every log density as it is printed in a derivation.

use lvmc_families::registry;
use lvmc_term::{DimId, Shape, Size, Store, Sym, SymKind, Term, print};

/// Greek where the books have it.
fn usual(family: &str, arg: &str) -> String {
    let name = match (family, arg) {
        ("Normal", "mean") => "mu",
        ("Normal", "var" | "cov") => "Sigma",
        ("Normal", "sd") => "sigma",
        ("Normal", "prec") => "tau",
        ("Normal", "chol") => "L",
        ("Poisson" | "Exponential", "rate") => "lambda",
        ("Gamma" | "InverseGamma", "shape") => "a",
        ("Gamma", "rate") => "b",
        ("Gamma" | "InverseGamma", "scale") => "s",
        ("InverseWishart", "dof") => "nu",
        ("InverseWishart", "scale") => "Psi",
        (_, other) => other,
    };
    name.into()
}

fn symbol(s: &mut Store, name: String, rank: usize, d: DimId, support: lvmc_term::Support, kind: SymKind) -> Term {
    let shape: Shape = vec![Size::Dim(d); rank];
    let id = s.add_sym(Sym {
        name,
        kind,
        shape,
        family: 0,
        per_row: false,
        support,
    });
    s.var(id)
}

#[test]
fn log_densities_read_as_mathematics() {
    let mut out = String::new();
    for f in registry::FAMILIES {
        for (i, signature) in f.signatures().iter().enumerate() {
            let mut s = Store::new();
            let d = s.add_dim("D");
            let mut args = vec![];
            for a in signature.args {
                let scalar_var = a.rank == 0 && a.name == "var";
                let name = if scalar_var {
                    "sigma2".into()
                } else {
                    usual(f.name(), a.name)
                };
                args.push(symbol(&mut s, name, a.rank, d, (a.support)(), SymKind::Param));
            }
            let support = f.support(&mut s, i, &args);
            let rank = signature.event as usize;
            let x = symbol(&mut s, "x".into(), rank, d, support, SymKind::Data);
            let density = f.log_density(&mut s, i, x, &args);
            let names: Vec<&str> = signature.args.iter().map(|a| a.name).collect();
            out += &format!(
                "{}({})\n    {}\n",
                f.name(),
                names.join(", "),
                print::unicode(&s, density)
            );
        }
    }
    insta::assert_snapshot!(out, @r"
    Normal(mean, var)
        −½ log(2πσ²) − ½ (x − μ)² / σ²
    Normal(mean, sd)
        −½ log 2π − log σ − ½ (x − μ)² / σ²
    Normal(mean, prec)
        ½ log τ − ½ log 2π − ½ τ (x − μ)²
    Normal(mean, var)
        −½ log|2πΣ| − ½ (x − μ)ᵀ Σ⁻¹ (x − μ)
    Normal(mean, cov)
        −½ log|2πΣ| − ½ (x − μ)ᵀ Σ⁻¹ (x − μ)
    Normal(mean, prec)
        ½ log|τ| − ½ D log 2π − ½ (x − μ)ᵀ τ (x − μ)
    Normal(mean, chol)
        −½ log|2πL Lᵀ| − ½ (x − μ)ᵀ (L Lᵀ)⁻¹ (x − μ)
    Categorical(p)
        log pₓ
    Bernoulli(p)
        x log p + (1 − x) log(1 − p)
    Binomial(n, p)
        x log p + (n − x) log(1 − p) + log Γ(n + 1) − log Γ(x + 1) − log Γ(n − x + 1)
    Multinomial(n, p)
        Σ_d x_d log p_d + log [Σ_d x_d = n] + log Γ(n + 1) − Σ_d log Γ(x_d + 1)
    Poisson(rate)
        x log λ − λ − log Γ(x + 1)
    Exponential(rate)
        log λ − λ x
    Gamma(shape, rate)
        (a − 1) log x + a log b − b x − log Γ(a)
    Gamma(shape, scale)
        (a − 1) log x − a log s − x / s − log Γ(a)
    InverseGamma(shape, scale)
        a log s − (a + 1) log x − s / x − log Γ(a)
    Beta(a, b)
        (a − 1) log x + (b − 1) log(1 − x) + log Γ(a + b) − log Γ(a) − log Γ(b)
    Dirichlet(alpha)
        Σ_d (α_d − 1) log x_d + log Γ(Σ_d α_d) − Σ_d log Γ(α_d)
    InverseWishart(dof, scale)
        ½ ν log|Ψ| − ¼ D (D − 1) log π − ½ (ν + D + 1) log|x| − ½ D ν log 2 − ½ tr(Ψ x⁻¹) − Σⱼ log Γ(½ ν − ½ j + ½)
    Flat()
        0
    Delta(point)
        log [x = point]
    ");
}

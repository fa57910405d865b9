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
    insta::assert_snapshot!(out, @"");
}

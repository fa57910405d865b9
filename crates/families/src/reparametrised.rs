//! Draws of Gamma as terms, in logs: a small shape's draw would round to 0.

use lvmc_term::{Draw, Store, Term};

/// log z of z ~ Gamma(a, 1), of a standard normal number. Its derivative in a is the implicit one.
pub(crate) fn log_gamma(s: &mut Store, a: Term, noise: Term) -> Term {
    s.draw(Draw::LogGamma, &[a, noise])
}

/// eˡ, whose log is l again, digits and all.
pub(crate) fn exp_whole(s: &mut Store, l: Term) -> Term {
    let l = s.hold(l);
    s.exp(l)
}

//! Nothing panics or hangs, whatever the model: texts of known models with tokens deleted, doubled, swapped and
//! exchanged with one another's. What builds holds the graph's invariants.

use lvmc_base::Source;
use lvmc_model::{Settings, build, print_graph, verify};
use std::path::Path;

/// A small generator of our own: the test must not change with a library's.
struct Random(u64);

impl Random {
    fn next(&mut self, n: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let x = (self.0 >> 33) as usize;
        if n == 0 { 0 } else { x % n }
    }
}

fn tokens(text: &str) -> Vec<String> {
    let mut out: Vec<String> = vec![];
    let mut word = String::new();
    for line in text.lines().map(|l| l.split('#').next().unwrap_or_default()) {
        for c in line.chars() {
            if c.is_alphanumeric() || c == '_' || c == '.' {
                word.push(c);
                continue;
            }
            if !word.is_empty() {
                out.push(std::mem::take(&mut word));
            }
            if !c.is_whitespace() {
                out.push(c.to_string());
            }
        }
        if !word.is_empty() {
            out.push(std::mem::take(&mut word));
        }
        out.push("\n".into());
    }
    out
}

fn texts() -> Vec<Vec<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![];
    for folder in ["../../models", "tests/models", "tests/bad"] {
        let mut list: Vec<_> = std::fs::read_dir(root.join(folder))
            .into_iter()
            .flatten()
            .flatten()
            .map(|e| e.path())
            .collect();
        list.sort();
        files.extend(list);
    }
    files
        .iter()
        .filter_map(|f| std::fs::read_to_string(f).ok())
        .map(|t| tokens(&t))
        .collect()
}

fn mutated(rng: &mut Random, all: &[Vec<String>]) -> String {
    let mut text = all[rng.next(all.len())].clone();
    for _ in 0..=rng.next(4) {
        let (i, j) = (rng.next(text.len()), rng.next(text.len()));
        let other = &all[rng.next(all.len())];
        match rng.next(6) {
            0 => {
                text.remove(i);
            }
            1 => text.swap(i, j),
            2 => {
                let token = text[j].clone();
                text.insert(i, token);
            }
            3 => text[i] = text[j].clone(),
            4 => text[i] = other[rng.next(other.len())].clone(),
            _ => {
                // a line of another model
                let at = rng.next(other.len());
                let line: Vec<String> = other[at..]
                    .iter()
                    .skip_while(|t| *t != "\n")
                    .skip(1)
                    .take_while(|t| *t != "\n")
                    .cloned()
                    .collect();
                let i = text
                    .iter()
                    .skip(i)
                    .position(|t| t == "\n")
                    .map_or(text.len(), |k| i + k + 1);
                text.splice(i..i, line.into_iter().chain(["\n".to_string()]));
            }
        }
        if text.is_empty() {
            text.push("\n".into());
        }
    }
    // tokens that must touch, and those that must not
    let mut out = String::new();
    for t in text {
        if t.chars().all(|c| c.is_alphanumeric() || c == '_')
            && out.ends_with(|c: char| c.is_alphanumeric() || c == ']')
        {
            out.push(' ');
        }
        out.push_str(&t);
    }
    out
}

fn run(seed: u64, count: usize) -> (usize, usize) {
    let all = texts();
    let mut rng = Random(seed);
    let (mut parsed, mut built) = (0, 0);
    for _ in 0..count {
        let text = mutated(&mut rng, &all);
        let source = Source::new("random.lvm", text.as_str());
        let Ok(ast) = lvmc_syntax::parse(&source) else { continue };
        parsed += 1;
        let settings = Settings::default();
        let out = std::panic::catch_unwind(|| build(&ast, &source, &settings));
        let Ok(out) = out else { panic!("a panic on\n{text}") };
        if let Ok(graph) = out {
            built += 1;
            if let Err(e) = verify(&graph) {
                panic!("{}\n{text}\n{}", e.message, print_graph(&graph));
            }
        }
    }
    (parsed, built)
}

#[test]
fn mutated_models_never_panic() {
    let count = std::env::var("LVMC_RANDOM")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(4000);
    let seed = std::env::var("LVMC_SEED")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(1);
    let (parsed, built) = run(seed, count);
    assert!(
        parsed > count / 10 && built > count / 50,
        "{parsed} parsed and {built} built of {count}"
    );
}

#[test]
fn deep_and_wide_models_meet_limits() {
    let deep = format!("y ~ Normal({}1{}, 1)", "(1 + ".repeat(120), ")".repeat(120));
    let chain: String = (1..2000).map(|i| format!("a{i} = a{} + a{}\n", i - 1, i - 1)).collect();
    let doubled = format!("param a0 : real\n{chain}y ~ Normal(a1999, 1)\n");
    let few: String = (1..90).map(|i| format!("b{i} = b{} * b{}\n", i - 1, i - 1)).collect();
    let shared = format!("param b0 : real\n{few}y ~ Normal(b89, 1)\n");
    let wide = format!("y ~ Normal({}, 1)", vec!["c"; 3000].join(" + "));
    for text in [deep, doubled, shared, wide] {
        let source = Source::new("limits.lvm", text.as_str());
        if let Ok(ast) = lvmc_syntax::parse(&source) {
            let _ = build(&ast, &source, &Settings::default());
        }
    }
}

#[test]
fn long_models_take_little_time() {
    let n = 3000;
    let open: String = (0..n).map(|i| format!("x{i} ~ Normal(m{i}, s{i})\n")).collect();
    let linked: String = (1..n).map(|i| format!("l{i} ~ Normal(l{}, 1)\n", i - 1)).collect();
    let backward: String = (1..n).rev().map(|i| format!("d{i} = d{} + 1\n", i - 1)).collect();
    let started = std::time::Instant::now();
    for text in [
        open,
        format!("l0 ~ Normal(0, 1)\n{linked}"),
        format!("d0 = 1\n{backward}y ~ Normal(d100, 1)\n"),
    ] {
        let source = Source::new("long.lvm", text.as_str());
        let ast = lvmc_syntax::parse(&source).expect("a model");
        let _ = build(&ast, &source, &Settings::default());
    }
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}

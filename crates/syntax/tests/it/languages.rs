//! Every built-in model parses.

use lvmc_base::Source;

#[test]
fn every_model_file_parses() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models");
    let mut n = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let source = Source::new(path.display().to_string(), text);
        if let Err(e) = lvmc_syntax::parse(&source) {
            panic!("{:?}", miette::Report::new(e).with_source_code(source.named()));
        }
        n += 1;
    }
    assert!(n >= 16);
}

#[test]
fn the_built_in_models_are_formatted() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models");
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let formatted = lvmc_syntax::format(&text).unwrap();
        assert_eq!(formatted, text, "{}", path.display());
    }
}

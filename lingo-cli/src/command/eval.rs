//! `lingo eval`.

use anyhow::Result;
use lingo_train::data::read_gue;
use lingo_train::evaluate;
use lingo_train::metric::{MetricName, Scores};

use crate::args::EvalArgs;
use crate::scorer::Scorer;

/// Scores a model on labelled sequences.
pub fn run(args: &EvalArgs) -> Result<()> {
    let path = match args.data.is_dir() {
        true => args.data.join(args.split.file_name()),
        false => args.data.clone(),
    };
    let scorer = Scorer::load(&args.model.model, &args.model.load)?;
    let objective = scorer.objective();
    let records = read_gue(&path, objective)?;
    let (samples, logits) = scorer.score(&records)?;
    let scores = evaluate::score(
        &logits,
        objective,
        samples.iter().map(|sample| sample.label.as_ref()),
    )?;
    if args.json {
        result!("{}", serde_json::to_string_pretty(&scores)?);
    } else {
        print_scores(&scores);
    }
    Ok(())
}

/// Prints metrics, one a line.
pub fn print_scores(scores: &Scores) {
    for name in MetricName::ALL {
        match scores.get(name) {
            Some(value) => result!("{:<10} {value:.4}", name.name()),
            None => result!("{:<10} undefined: some class has no example", name.name()),
        }
    }
}

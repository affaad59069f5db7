//! `lingo eval`.

use anyhow::{Result, bail};
use lingo_train::evaluate;
use lingo_train::metric::{LabelScores, MetricName, Scores};

use crate::args::{EvalArgs, Split};
use crate::scorer::Scorer;

/// Scores a model on labelled sequences.
pub fn run(args: &EvalArgs) -> Result<()> {
    let path = match (args.data.is_dir(), args.split) {
        (true, split) => args.data.join(split.unwrap_or(Split::Test).file_name()),
        (false, None) => args.data.clone(),
        (false, Some(_)) => bail!(
            "--split chooses a file of a folder, and {} is none; leave it out",
            args.data.display()
        ),
    };
    let scorer = Scorer::load(&args.model.model, &args.model.load)?;
    let (samples, logits) = scorer.score_file(&path)?;
    let labels = samples.labels().collect::<Result<Vec<_>, _>>()?;
    let labels = labels.iter().map(Option::as_ref);
    let scores = evaluate::score(&logits, scorer.objective(), labels)?;
    if args.json {
        result!("{}", serde_json::to_string_pretty(&scores)?);
    } else {
        print_scores(&scores);
        if !scores.labels.is_empty() {
            print_labels(&scores.labels);
        }
    }
    Ok(())
}

/// Prints metrics, one a line.
pub fn print_scores(scores: &Scores) {
    for name in MetricName::ALL {
        match scores.get(name) {
            Some(value) => result!("{:<10} {value:.4}", name.name()),
            None => result!(
                "{:<10} undefined: there are no two kinds of examples to tell apart",
                name.name()
            ),
        }
    }
    if let Some(share) = scores.exact_match {
        result!(
            "{:<10} {share:.4} (all labels of an example right)",
            "exact"
        );
        result!(
            "{:<10} loss, accuracy and brier over all that is known, the others means over labels",
            "averages"
        );
        if scores.without_auc > 0 {
            result!(
                "{:<10} of auroc and auprc: {} without examples for and against",
                "left out",
                scores.without_auc
            );
        }
    }
}

/// Prints labels, one a line.
fn print_labels(labels: &[LabelScores]) {
    let names = labels.iter().map(|label| label.label.chars().count());
    let width = names.max().unwrap_or(0).max("label".len());
    let shown = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.4}"));
    result!(
        "\n{:<width$} {:>9} {:>9} {:>9} {:>7} {:>7}",
        "label",
        "positives",
        "negatives",
        "unknown",
        "auroc",
        "auprc"
    );
    for label in labels {
        result!(
            "{:<width$} {:>9} {:>9} {:>9} {:>7} {:>7}",
            label.label,
            label.positives,
            label.negatives,
            label.unknown,
            shown(label.auroc),
            shown(label.auprc)
        );
    }
}

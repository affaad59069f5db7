//! One-hot DNA inside a prompt: tokens of its own, whose rows alone are trained.

use std::path::{Path, PathBuf};

use burn::optim::AdamWConfig;
use burn::tensor::{Device, TensorData};
use burn::train::TrainStep;
use lingo_core::adapter::LowRankConfig;
use lingo_core::models::{Classifier, Pretrained};
use lingo_core::nn::noise::MaskSource;
use lingo_core::nn::token_embedding::TokenEmbedding;
use lingo_core::nn::{AddedTokens, Loader, Precision};
use lingo_train::config::{PromptConfig, TokenizerKind};
use lingo_train::data::{Batch, Label, Record, Sample};
use lingo_train::step::{Clock, StepConfig, Trainee};
use lingo_train::task::{Layout, SequenceEncoder, Text};
use lingo_train::workers::{Compute, Workers};
use weights_import::{Checkpoint, TextTokenizer};

const SEQUENCES: [&str; 4] = ["ACGTACGTAC", "TTTTTTTT", "GATTACA", "CCCGGG"];

fn quickstart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/quickstart/model")
}

fn text(checkpoint: &Checkpoint) -> Text {
    let TextTokenizer {
        tokenizer,
        bos,
        eos,
        pad,
    } = checkpoint.tokenizer().unwrap();
    Text {
        tokenizer,
        bos,
        eos,
        pad,
    }
}

fn encoder(checkpoint: &Checkpoint) -> SequenceEncoder {
    let (text, model) = (Some(text(checkpoint)), checkpoint.config());
    let kind = Some(TokenizerKind::OneHot);
    let layout = Layout::choose(kind, &PromptConfig::default(), text.as_ref(), model).unwrap();
    SequenceEncoder::new(text, layout, 0, false, model).unwrap()
}

fn samples(encoder: &SequenceEncoder) -> Vec<Sample> {
    let record = |(id, sequence): (usize, &&str)| Record {
        id: id.to_string(),
        sequence: (*sequence).to_owned(),
        label: Some(Label::Class(id % 2)),
    };
    let records: Vec<Record> = SEQUENCES.iter().enumerate().map(record).collect();
    encoder.encoder.encode(&records).unwrap().0
}

#[test]
fn letters_of_dna_are_no_tokens_of_the_text_and_the_prompt_stays_what_it_is() {
    let checkpoint = Checkpoint::open(&quickstart()).unwrap();
    let rows = checkpoint.config().token_table()[0] as u32;
    let encoder = encoder(&checkpoint);
    assert_eq!(encoder.added, 5);
    let Text { tokenizer, bos, .. } = text(&checkpoint);
    let prompt = &encoder.layout.prompt;
    let ids = |text: &str| tokenizer.encode(text, false).unwrap().get_ids().to_vec();
    for (sample, sequence) in samples(&encoder).iter().zip(SEQUENCES) {
        let letters = sequence
            .chars()
            .map(|letter| rows + "ACGTN".find(letter).unwrap() as u32);
        let expected: Vec<u32> = bos
            .into_iter()
            .chain(ids(&prompt.prefix))
            .chain(letters)
            .chain(ids(&prompt.suffix))
            .collect();
        assert_eq!(sample.ids, expected);
        let text_tokens = expected.iter().filter(|id| **id < rows).count();
        assert_eq!(text_tokens, expected.len() - sequence.len());
    }
}

fn table(classifier: &Classifier) -> &TokenEmbedding {
    let Pretrained::Opt(opt) = &classifier.backbone else {
        panic!("the quickstart's model is an OPT");
    };
    &opt.embed_tokens
}

#[test]
fn their_rows_get_gradients_and_the_frozen_rows_stay_bit_identical() {
    let device = Device::flex().autodiff();
    let mut checkpoint = Checkpoint::open(&quickstart()).unwrap();
    let config = checkpoint.config().clone();
    let encoder = encoder(&checkpoint);
    let added = AddedTokens { count: 5, seed: 3 };
    let mut loader = Loader::new(&mut checkpoint, &device, None).with_added_tokens(added);
    let backbone = Pretrained::load(&config, &mut loader).unwrap();
    let mut model = Classifier::with_new_head(backbone, config.head(), 2, 3);
    let adapter = LowRankConfig {
        rank: 2,
        alpha: 32.0,
        dropout: 0.0,
        singular_values: false,
    };
    model.attach(&[0, 1, 2], &adapter, 3);
    let step = StepConfig {
        seed: 3,
        masks: MaskSource::Host,
        orthogonality: 0.0,
        accumulation: 1,
        max_grad_norm: 0.0,
        precision: Precision::F32,
        gradient_checkpointing: false,
    };
    let workers = Workers::new(&Compute::HostAlone, 1).unwrap();
    let mut trainee = Trainee::new(model, None, step, workers, Clock::default());

    let samples = samples(&encoder);
    let longest = samples.iter().map(|sample| sample.ids.len()).max().unwrap();
    let mut ids = Vec::new();
    for sample in &samples {
        ids.extend(sample.ids.iter().map(|id| *id as i32));
        ids.resize(ids.len() + longest - sample.ids.len(), encoder.pad as i32);
    }
    let batch = |number| Batch {
        number,
        ids: ids.clone(),
        shape: [samples.len(), longest],
        lengths: samples.iter().map(|sample| sample.ids.len()).collect(),
        labels: samples
            .iter()
            .flat_map(|sample| sample.label.clone())
            .collect(),
        indices: (0..samples.len()).collect(),
        known_in_step: samples.len(),
    };
    let rows = |trainee: &Trainee| -> [TensorData; 2] {
        let table = table(&trainee.trained.classifier);
        let added = table.added.as_ref().unwrap().val();
        [table.weight.val().into_data(), added.into_data()]
    };
    let before = rows(&trainee);
    let mut optimizer = AdamWConfig::new().with_weight_decay(5e-3).init();
    for number in 0..3 {
        let output = trainee.step(batch(number));
        let embeddings = table(&trainee.trained.classifier);
        assert!(output.grads.get::<2>(embeddings.weight.id).is_none());
        let added = embeddings.added.as_ref().unwrap().id;
        let gradient = output.grads.get::<2>(added).unwrap();
        let of_letters: Vec<f32> = gradient.abs().sum_dim(1).into_data().iter().collect();
        assert!(
            of_letters[..4].iter().all(|sum| *sum > 0.0),
            "{of_letters:?}"
        );
        assert_eq!(of_letters[4], 0.0, "there is no N in these sequences");
        trainee = trainee.optimize(&mut optimizer, 1e-2.into(), output.grads);
    }
    let after = rows(&trainee);
    assert_eq!(before[0], after[0]);
    assert_ne!(before[1], after[1]);
}

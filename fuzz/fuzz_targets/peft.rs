//! An adapter of PEFT's: `adapter_config.json` and `adapter_model.safetensors` with a zero byte between.
#![no_main]

use std::path::Path;

use lingo_core::models::ModelConfig;
use lingo_fuzz::{Folder, parts, safetensors};
use weights_import::Checkpoint;
use weights_import::peft::PeftAdapter;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    thread_local!(static PLACE: (Folder, ModelConfig) = place());
    let [config, tensors] = parts(input);
    PLACE.with(|(folder, model)| {
        folder.write("adapter_config.json", config);
        folder.write("adapter_model.safetensors", &safetensors(tensors));
        if let Ok(adapter) = PeftAdapter::open(folder.path(), model) {
            assert!(adapter.scale.is_finite());
            let _ = adapter.into_lora();
        }
    });
});

fn place() -> (Folder, ModelConfig) {
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/opt_pre_ln");
    let checkpoint = Checkpoint::open(Path::new(model)).expect("a fixture");
    (Folder::default(), checkpoint.config().clone())
}

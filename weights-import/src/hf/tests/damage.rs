//! Folders and files that are incomplete or none.

use super::*;

#[test]
fn a_truncated_safetensors_file_says_how_much_is_missing() {
    let folder = model(&config(), &tensors(""));
    let path = folder.path().join("model.safetensors");
    let whole = std::fs::read(&path).unwrap();
    for end in (0..whole.len()).step_by(5).chain([whole.len() - 1]) {
        std::fs::write(&path, &whole[..end]).unwrap();
        let error = Checkpoint::open(folder.path()).unwrap_err();
        assert!(matches!(error, ImportError::Damaged { .. }), "{error}");
        assert!(
            error.to_string().contains(&format!("{end} bytes")),
            "{error}"
        );
    }
    let mut longer = whole.clone();
    longer.push(0);
    std::fs::write(&path, longer).unwrap();
    let error = Checkpoint::open(folder.path()).unwrap_err().to_string();
    assert!(
        error.contains(&format!("a file of {} bytes", whole.len())),
        "{error}"
    );
}

#[test]
fn a_missing_shard_and_a_shard_without_its_tensor_are_named() {
    let folder = sharded();
    let mut second = tensors("model.decoder.").split_off("model.decoder.layers.0.fc2.bias");
    second.remove("model.decoder.layers.0.fc2.weight");
    write_safetensors(&folder.path().join("b.safetensors"), &second);
    let error = Checkpoint::open(folder.path()).unwrap_err();
    assert!(matches!(error, ImportError::ShardTensor { .. }), "{error}");
    std::fs::remove_file(folder.path().join("b.safetensors")).unwrap();
    let error = Checkpoint::open(folder.path()).unwrap_err();
    assert!(
        matches!(&error, ImportError::ShardMissing { shard, .. } if shard == "b.safetensors"),
        "{error}"
    );
}

#[test]
fn a_missing_shard_of_pickles_and_an_index_of_itself_are_named() {
    const INDEX: &str = "pytorch_model.bin.index.json";
    let folder = folder(&config());
    let write = |shard: &str| {
        let map = json!({"weight_map": {"decoder.x": shard}});
        std::fs::write(folder.path().join(INDEX), map.to_string()).unwrap();
        Checkpoint::open(folder.path()).unwrap_err()
    };
    let error = write("pytorch_model-00001-of-00002.bin");
    assert!(
        matches!(&error, ImportError::ShardMissing { index, shard }
            if index.ends_with(INDEX) && shard == "pytorch_model-00001-of-00002.bin"),
        "{error}"
    );
    for shard in [INDEX, "config.json"] {
        let error = write(shard);
        assert!(
            matches!(&error, ImportError::NotAShard { file, .. } if file == shard),
            "{error}"
        );
    }
}

/// Reading a pipe would wait for ever, and a device would never end.
#[cfg(unix)]
#[test]
fn what_is_no_ordinary_file_is_named_and_not_read() {
    use std::os::unix::fs::symlink;

    let files = [
        "config.json",
        "model.safetensors",
        "model.safetensors.index.json",
        "pytorch_model.bin",
        "pytorch_model.bin.index.json",
    ];
    for (at, file) in files.into_iter().enumerate() {
        let folder = match at {
            0 => tempfile::tempdir().unwrap(),
            _ => folder(&config()),
        };
        let path = folder.path().join(file);
        let refused = |parts: &[&str]| {
            let error = Checkpoint::open(folder.path()).unwrap_err().to_string();
            for part in [&[file][..], parts].concat() {
                assert!(error.contains(part), "`{part}` is not in: {error}");
            }
            std::fs::remove_file(&path).unwrap();
        };
        symlink("/dev/zero", &path).unwrap();
        refused(&["no ordinary file"]);
        symlink(folder.path(), &path).unwrap();
        refused(&["no ordinary file"]);
        symlink("blobs/gone", &path).unwrap();
        refused(&["a link to blobs/gone"]);
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        refused(&["no ordinary file"]);
    }
    let error = Checkpoint::open(Path::new("/dev/zero")).unwrap_err();
    assert!(matches!(error, ImportError::NotAFile { .. }), "{error}");
}

#[test]
fn a_folder_of_pefts_leads_to_the_import() {
    let adapter = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/fixtures/peft/bert_lora"
    );
    let error = Checkpoint::open(Path::new(adapter)).unwrap_err();
    assert!(matches!(error, ImportError::IsAdapter { .. }), "{error}");
    assert!(error.to_string().contains("lingo import"), "{error}");
    // Some trainers put the model's configuration beside it.
    let folder = folder(&config());
    std::fs::write(folder.path().join("adapter_config.json"), "{}").unwrap();
    let error = Checkpoint::open(folder.path()).unwrap_err();
    assert!(matches!(error, ImportError::IsAdapter { .. }), "{error}");
}

#[test]
fn an_index_cannot_lead_out_of_the_folder() {
    let folder = sharded();
    for file in [
        "../b.safetensors",
        "/etc/passwd",
        "sub/b.safetensors",
        "..",
        "",
    ] {
        write_index(folder.path(), &json!({"decoder.x": file}));
        let error = Checkpoint::open(folder.path()).unwrap_err();
        assert!(
            matches!(error, ImportError::OutsideFolder { .. }),
            "{file}: {error}"
        );
    }
    write_index(folder.path(), &json!({"decoder.x": 3}));
    assert!(matches!(
        Checkpoint::open(folder.path()),
        Err(ImportError::Key { .. })
    ));
}

#[test]
fn each_problem_of_a_folder_has_its_own_message() {
    let error = Checkpoint::open(Path::new("no/such/model")).unwrap_err();
    assert!(matches!(error, ImportError::NotFound { .. }));

    let empty = tempfile::tempdir().unwrap();
    let error = Checkpoint::open(empty.path()).unwrap_err();
    assert!(
        matches!(&error, ImportError::NoConfig { .. }) && error.to_string().contains("nothing")
    );

    let folder = folder(&config());
    std::fs::write(folder.path().join("flax_model.msgpack"), b"x").unwrap();
    let error = Checkpoint::open(folder.path()).unwrap_err().to_string();
    assert!(
        error.contains("no weights") && error.contains("flax_model.msgpack"),
        "{error}"
    );

    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";
    for name in ["pytorch_model.bin", "model.safetensors"] {
        std::fs::write(folder.path().join(name), pointer).unwrap();
        let error = Checkpoint::open(folder.path()).unwrap_err();
        assert!(matches!(error, ImportError::LfsPointer { .. }), "{error}");
    }

    std::fs::write(folder.path().join("config.json"), b"{\"model_type\": ").unwrap();
    assert!(matches!(
        Checkpoint::open(folder.path()),
        Err(ImportError::Json { .. })
    ));
}

#[test]
fn a_pytorch_file_that_is_none_is_an_error() {
    let folder = folder(&config());
    std::fs::write(
        folder.path().join("pytorch_model.bin"),
        b"PK\x03\x04 cut short",
    )
    .unwrap();
    let error = Checkpoint::open(folder.path()).unwrap_err();
    assert!(matches!(error, ImportError::Pytorch { .. }), "{error}");
}

#[test]
fn a_file_of_another_kind_is_called_what_it_is() {
    let page = b"<!DOCTYPE html>\n<html><head><title>Log in</title></head></html>";
    for (content, kind, remedy) in [
        (&page[..], "an HTML page", "fetch the file itself"),
        (
            b"PK\x03\x04\x14\0\0\0\x08\0abc",
            "a zip archive",
            "torch.save",
        ),
        (b"GGUF\x03\0\0\0\0\0\0\0", "a GGUF file", ".gguf"),
        (
            b"{\"error\": \"not found\"}",
            "JSON",
            "fetch the file itself",
        ),
    ] {
        let folder = folder(&config());
        std::fs::write(folder.path().join("model.safetensors"), content).unwrap();
        let error = Checkpoint::open(folder.path()).unwrap_err().to_string();
        let said = format!("model.safetensors: this is {kind}, not safetensors; ");
        assert!(error.contains(&said) && error.contains(remedy), "{error}");
    }
    let folder = folder(&config());
    std::fs::write(folder.path().join("pytorch_model.bin"), page).unwrap();
    let error = Checkpoint::open(folder.path()).unwrap_err().to_string();
    let said = "pytorch_model.bin: this is an HTML page, not a PyTorch checkpoint";
    assert!(error.contains(said), "{error}");
}

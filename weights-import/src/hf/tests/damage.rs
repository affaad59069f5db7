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

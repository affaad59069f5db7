//! Models of the Hugging Face hub, from one on this machine.

use std::net::TcpListener;
use std::process::Output;

use serde_json::Value;

use crate::hub_server::{COMMIT, Hub, Manner, Model};
use crate::place::{Place, quickstart, refused, stderr, stdout, succeeded};

const ID: &str = "facebook/opt-tiny";

/// `lingo` with the place's own cache and a hub.
fn lingo(place: &Place, endpoint: &str, args: &[&str]) -> Output {
    let cache = place.path("hf");
    let variables = [
        ("HF_HOME", cache.to_str().unwrap()),
        ("HF_ENDPOINT", endpoint),
    ];
    place.lingo_in(&variables, args)
}

fn offline(place: &Place, args: &[&str]) -> Output {
    let cache = place.path("hf");
    let variables = [
        ("HF_HOME", cache.to_str().unwrap()),
        ("HF_HUB_OFFLINE", "1"),
    ];
    place.lingo_in(&variables, args)
}

/// Equal metrics, but for the order in which threads add.
fn same(left: &Value, right: &Value) {
    for (name, value) in right.as_object().unwrap() {
        let (left, right) = (left[name].as_f64().unwrap(), value.as_f64().unwrap());
        assert!((left - right).abs() < 1e-5, "{name}: {left}, {right}");
    }
}

fn snapshot(place: &Place, file: &str) -> Vec<u8> {
    let folder = "hf/hub/models--facebook--opt-tiny/snapshots";
    std::fs::read(place.path(&format!("{folder}/{COMMIT}/{file}"))).unwrap()
}

/// What is in a folder of the place.
fn names(place: &Place, folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(place.path(folder)).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn only_needed_files_are_fetched_and_only_once() {
    let place = Place::new();
    let hub = Hub::start(Model::quickstart(ID));
    let output = lingo(&place, &hub.endpoint, &["inspect", ID]);
    succeeded(&output);
    let said = stderr(&output);
    for part in [
        "OPT-175B License Agreement: non-commercial",
        "fetched     4 files",
    ] {
        assert_eq!(said.matches(part).count(), 1, "{said}");
    }
    let shown = stdout(&output);
    assert!(shown.contains(&format!("{ID}@{COMMIT}")), "{shown}");
    let mut fetched = hub.fetched();
    fetched.sort();
    let needed = [
        "config.json",
        "merges.txt",
        "model.safetensors",
        "vocab.json",
    ];
    assert_eq!(fetched, needed);
    for file in needed {
        let original = std::fs::read(quickstart(&format!("model/{file}"))).unwrap();
        assert!(snapshot(&place, file) == original, "{file} differs");
    }
    let reference = "hf/hub/models--facebook--opt-tiny/refs/main";
    assert_eq!(place.text(reference), COMMIT);

    let again = lingo(&place, &hub.endpoint, &["inspect", ID]);
    succeeded(&again);
    assert_eq!(hub.asked(), Vec::<String>::new());
    assert!(!stderr(&again).contains("licence"), "{}", stderr(&again));
    assert_eq!(stdout(&again), shown);

    drop(hub);
    let without = offline(&place, &["inspect", &format!("{ID}@main")]);
    succeeded(&without);
    assert_eq!(stdout(&without), shown);
    succeeded(&offline(&place, &["inspect", &format!("{ID}@{COMMIT}")]));
}

#[test]
fn a_run_on_a_model_of_the_hub_is_that_on_its_folder_and_needs_no_network_after() {
    let local = Place::trained("lora", &["--set", "train.epochs=1"]);
    let place = Place::new();
    let hub = Hub::start(Model::quickstart(ID));
    place.run_file("lora");
    let run = place.text("run.toml");
    let (_, rest) = run.split_once('\n').unwrap();
    place.write("run.toml", format!("model = {ID:?}\n{rest}"));
    let args = [
        "train",
        "run.toml",
        "--out",
        "run",
        "--set",
        "train.epochs=1",
    ];
    succeeded(&lingo(&place, &hub.endpoint, &args));
    drop(hub);
    let scores = place.json("run/result.json")["test"].clone();
    same(&scores, &local.json("run/result.json")["test"]);
    let pinned = format!("{ID}@{COMMIT}");
    assert_eq!(place.json("run/best/adapter.json")["model"], pinned);
    assert!(place.text("run/config.toml").contains(&pinned));

    let eval = ["eval", "run", "--data", "data", "--json"];
    let output = offline(&place, &eval);
    succeeded(&output);
    let again: Value = serde_json::from_str(&stdout(&output)).unwrap();
    same(&again, &scores);
    let output = offline(&place, &[&eval[..], &["--base", ID]].concat());
    succeeded(&output);
    // PEFT finds the same model by two keys.
    let export = ["export", "run", "--format", "peft", "--out", "peft"];
    succeeded(&offline(&place, &export));
    let config = place.json("peft/adapter_config.json");
    assert_eq!(config["base_model_name_or_path"], ID);
    assert_eq!(config["revision"], COMMIT);
    let repeated = ["train", "run/config.toml", "--out", "again"];
    succeeded(&offline(&place, &repeated));
    let result = place.json("again/result.json");
    same(&result["test"], &scores);
    // A local model may take its place.
    let model = quickstart("model");
    let base = ["--base", model.to_str().unwrap()];
    let output = offline(&place, &[&eval[..], &base].concat());
    succeeded(&output);
    let again: Value = serde_json::from_str(&stdout(&output)).unwrap();
    same(&again, &scores);
}

#[test]
fn a_path_that_exists_is_never_looked_for_on_the_hub() {
    let place = Place::new();
    place.copy_model("facebook/opt-tiny");
    let hub = Hub::start(Model::quickstart(ID));
    let output = lingo(&place, &hub.endpoint, &["inspect", ID]);
    succeeded(&output);
    assert!(stdout(&output).contains(&format!("model       {ID} (")));
    assert_eq!(hub.asked(), Vec::<String>::new());
    for absent in ["./owner/name", "name", "a/b/c", "../owner/name"] {
        let output = lingo(&place, &hub.endpoint, &["inspect", absent]);
        refused(&output, &[absent, "no such file or folder"]);
    }
    assert_eq!(hub.asked(), Vec::<String>::new());
}

#[test]
fn shards_are_fetched_by_their_index() {
    let place = Place::new();
    let bytes = std::fs::read(quickstart("model/model.safetensors")).unwrap();
    let whole = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut model = Model::quickstart(ID);
    model.files.remove("model.safetensors");
    let mut map = serde_json::Map::new();
    let tensors = whole.tensors();
    let (one, two) = tensors.split_at(tensors.len() / 2);
    for (number, part) in [(1, one), (2, two)] {
        let name = format!("model-0000{number}-of-00002.safetensors");
        for (tensor, _) in part {
            map.insert(tensor.clone(), name.clone().into());
        }
        let part = part
            .iter()
            .map(|(name, view)| (name.as_str(), view.clone()));
        model.put(&name, &safetensors::serialize(part, None).unwrap());
    }
    let index = serde_json::json!({ "weight_map": map });
    model.put("model.safetensors.index.json", index.to_string().as_bytes());
    model.put("model-00003-of-00002.safetensors", b"of another time");
    let hub = Hub::start(model);
    let output = lingo(&place, &hub.endpoint, &["inspect", ID]);
    succeeded(&output);
    assert!(stdout(&output).contains("safetensors, 2 shards"));
    assert_eq!(hub.fetched().len(), 6);
    // Without one of them the model is not there, and it alone is fetched again, unless its content is there still.
    let shard = "model-00002-of-00002.safetensors";
    let folder = format!("hf/hub/models--facebook--opt-tiny/snapshots/{COMMIT}");
    let path = place.path(&format!("{folder}/{shard}"));
    let content = path.canonicalize().unwrap();
    std::fs::remove_file(&path).unwrap();
    refused(&offline(&place, &["inspect", ID]), &[ID, "HF_HUB_OFFLINE"]);
    succeeded(&lingo(&place, &hub.endpoint, &["inspect", ID]));
    assert_eq!(hub.fetched(), Vec::<String>::new());
    std::fs::remove_file(content).unwrap();
    refused(&offline(&place, &["inspect", ID]), &[ID, "HF_HUB_OFFLINE"]);
    succeeded(&lingo(&place, &hub.endpoint, &["inspect", ID]));
    assert_eq!(hub.fetched(), [shard]);
}

#[test]
fn a_transfer_that_was_cut_off_goes_on_where_it_ended() {
    let place = Place::new();
    let mut model = Model::quickstart(ID);
    let size = model.files["model.safetensors"].len();
    model.cuts = 1;
    let hub = Hub::start(model.clone());
    succeeded(&lingo(&place, &hub.endpoint, &["inspect", ID]));
    let half = format!("model.safetensors bytes={}-", size / 2);
    let asked = hub.asked();
    assert!(asked.iter().any(|line| line.ends_with(&half)), "{asked:?}");
    assert_eq!(
        snapshot(&place, "model.safetensors"),
        model.files["model.safetensors"]
    );

    // For good: no model is there, and the next command goes on.
    let place = Place::new();
    model.cuts = usize::MAX;
    let hub = Hub::start(model.clone());
    let output = lingo(&place, &hub.endpoint, &["inspect", ID]);
    refused(&output, &[ID, "model.safetensors", "run the command again"]);
    assert!(
        !place
            .path("hf/hub/models--facebook--opt-tiny/refs/main")
            .exists()
    );
    refused(&offline(&place, &["inspect", ID]), &[ID, "HF_HUB_OFFLINE"]);
    model.cuts = 0;
    let hub = Hub::start(model.clone());
    succeeded(&lingo(&place, &hub.endpoint, &["inspect", ID]));
    assert_eq!(hub.fetched(), ["model.safetensors"]);
    assert_eq!(
        snapshot(&place, "model.safetensors"),
        model.files["model.safetensors"]
    );
}

/// The tag that the hub gives a file of the quickstart's model.
fn tag(model: &Model, file: &str) -> String {
    format!("{}{}", model.tag, file.len() + model.files[file].len())
}

#[test]
fn a_hub_that_is_unwell_for_a_moment_is_asked_again() {
    let place = Place::new();
    let mut model = Model::quickstart(ID);
    // The list, the description of the first file, and its content.
    model.statuses = [502, 200, 429, 200, 503].into();
    let hub = Hub::start(model.clone());
    succeeded(&lingo(&place, &hub.endpoint, &["inspect", ID]));
    let asked = hub.asked();
    let list = asked.iter().filter(|path| path.contains("/api/")).count();
    let config = asked.iter().filter(|path| path.contains("config.json"));
    assert_eq!((list, config.count()), (2, 4), "{asked:?}");
    // Interruptions count only where nothing came between them.
    let place = Place::new();
    let file = "model.safetensors";
    model.statuses.clear();
    model.most = model.files[file].len() / 5;
    let hub = Hub::start(model.clone());
    succeeded(&lingo(&place, &hub.endpoint, &["inspect", ID]));
    assert!(hub.fetched().iter().filter(|name| *name == file).count() > 5);
    assert_eq!(snapshot(&place, file), model.files[file]);
}

#[test]
fn a_transfer_that_stalls_is_taken_up_again() {
    let place = Place::new();
    let mut model = Model::quickstart(ID);
    model.stalls = 1;
    let hub = Hub::start(model.clone());
    let cache = place.path("hf");
    let variables = [
        ("HF_HOME", cache.to_str().unwrap()),
        ("HF_ENDPOINT", hub.endpoint.as_str()),
        ("HF_HUB_DOWNLOAD_TIMEOUT", "1"),
    ];
    succeeded(&place.lingo_in(&variables, &["inspect", ID]));
    let file = "model.safetensors";
    let half = format!("{file} bytes={}-", model.files[file].len() / 2);
    let asked = hub.asked();
    assert!(asked.iter().any(|line| line.ends_with(&half)), "{asked:?}");
    assert_eq!(snapshot(&place, file), model.files[file]);
}

#[test]
fn a_content_that_is_not_what_was_described_never_enters_the_cache() {
    let blobs = "hf/hub/models--facebook--opt-tiny/blobs";
    let place = Place::new();
    let mut model = Model::quickstart(ID);
    let wrong = "0".repeat(64);
    model.tags.insert("config.json".to_owned(), wrong.clone());
    let hub = Hub::start(model.clone());
    let output = lingo(&place, &hub.endpoint, &["inspect", ID]);
    refused(&output, &["config.json arrived damaged", "SHA-256", &wrong]);
    assert_eq!(names(&place, blobs), [format!("{wrong}.lock")]);
    // `printf '{}' | sha256sum`
    let right = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    let small = "special_tokens_map.json";
    model.tags = [(small.to_owned(), right.to_owned())].into();
    model.put(small, b"{}");
    let hub = Hub::start(model);
    succeeded(&lingo(&place, &hub.endpoint, &["inspect", ID]));
    assert!(names(&place, blobs).contains(&right.to_owned()));

    // What is sent from another byte on is not put behind what is there.
    let place = Place::new();
    let mut model = Model::quickstart(ID);
    model.cuts = 1;
    model.manner = Manner::Shifted;
    let hub = Hub::start(model.clone());
    let output = lingo(&place, &hub.endpoint, &["inspect", ID]);
    let file = "model.safetensors";
    refused(&output, &[file, "from byte 0 on, where", "was asked for"]);
    let hub = Hub::start(Model::quickstart(ID));
    succeeded(&lingo(&place, &hub.endpoint, &["inspect", ID]));
    assert_eq!(snapshot(&place, file), model.files[file]);
}

#[test]
fn a_content_that_a_loss_of_power_emptied_is_fetched_anew() {
    let place = Place::new();
    let model = Model::quickstart(ID);
    let hub = Hub::start(model.clone());
    succeeded(&lingo(&place, &hub.endpoint, &["inspect", ID]));
    hub.asked();
    let file = "model.safetensors";
    let blobs = "hf/hub/models--facebook--opt-tiny/blobs";
    place.write(&format!("{blobs}/{}", tag(&model, file)), "");
    succeeded(&lingo(&place, &hub.endpoint, &["inspect", ID]));
    assert_eq!(hub.fetched(), [file]);
    assert_eq!(snapshot(&place, file), model.files[file]);
}

#[test]
fn what_another_process_is_fetching_is_waited_for_and_not_fetched_again() {
    let place = Place::new();
    let model = Model::quickstart(ID);
    let file = "model.safetensors";
    let blob = format!(
        "hf/hub/models--facebook--opt-tiny/blobs/{}",
        tag(&model, file)
    );
    let lock = place.write(&format!("{blob}.lock"), "");
    let lock = std::fs::File::open(lock).unwrap();
    lock.lock().unwrap();
    let hub = Hub::start(model.clone());
    let output = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| lingo(&place, &hub.endpoint, &["inspect", ID]));
        // The other process, which takes its time.
        std::thread::sleep(std::time::Duration::from_secs(7));
        assert!(!waiting.is_finished());
        place.write(&blob, &model.files[file]);
        lock.unlock().unwrap();
        waiting.join().unwrap()
    });
    succeeded(&output);
    let said = stderr(&output);
    assert_eq!(said.matches("waiting     for another").count(), 1, "{said}");
    assert!(said.contains("fetched     3 files"), "{said}");
    assert!(!hub.fetched().contains(&file.to_owned()));
    assert_eq!(snapshot(&place, file), model.files[file]);
}

#[test]
fn a_model_in_the_cache_without_its_tokenizer_needs_no_healthy_hub() {
    let place = Place::new();
    let mut model = Model::quickstart(ID);
    model.files.remove("vocab.json");
    let hub = Hub::start(model.clone());
    let first = lingo(&place, &hub.endpoint, &["inspect", ID]);
    succeeded(&first);
    for (status, part) in [(401, "401"), (404, "no such model")] {
        model.status = status;
        let hub = Hub::start(model.clone());
        let output = lingo(&place, &hub.endpoint, &["inspect", ID]);
        succeeded(&output);
        assert_eq!(stdout(&output), stdout(&first));
        let said = stderr(&output);
        assert!(said.contains("without a tokenizer"), "{said}");
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn mirrors_that_give_only_whole_files_or_say_the_tag_late_are_understood() {
    for manner in [Manner::Whole, Manner::LateTag] {
        let place = Place::new();
        let mut model = Model::quickstart(ID);
        model.manner = manner;
        model.cuts = 2;
        let hub = Hub::start(model.clone());
        succeeded(&lingo(&place, &hub.endpoint, &["inspect", ID]));
        for file in ["config.json", "model.safetensors"] {
            assert_eq!(snapshot(&place, file), model.files[file], "{file}");
        }
    }
}

#[test]
fn certificates_that_cannot_be_read_are_named() {
    let place = Place::new();
    let file = place.write("roots.pem", "nothing");
    let cache = place.path("hf");
    let with = |path: &str| {
        let variables = [
            ("HF_HOME", cache.to_str().unwrap()),
            ("HF_ENDPOINT", "https://127.0.0.1:9"),
            ("SSL_CERT_FILE", path),
        ];
        place.lingo_in(&variables, &["inspect", ID])
    };
    refused(&with(file.to_str().unwrap()), &["roots.pem", "it has none"]);
    refused(&with("/absent.pem"), &["/absent.pem", "SSL_CERT_FILE"]);
}

#[test]
fn without_hub_and_cache_the_files_to_put_somewhere_are_named() {
    let place = Place::new();
    let by_hand = [
        "config.json",
        "tokenizer.json",
        "model.safetensors or pytorch_model.bin",
        "models/opt-tiny",
    ];
    let output = offline(&place, &["inspect", ID]);
    refused(&output, &[&[ID, "HF_HUB_OFFLINE"][..], &by_hand].concat());

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let parts = [&[ID, &closed, "cannot be reached"][..], &by_hand].concat();
    refused(&lingo(&place, &closed, &["inspect", ID]), &parts);
    place.run_file("lora");
    let model = format!("model={ID}");
    let train = ["train", "run.toml", "--out", "run", "--set", &model];
    refused(&lingo(&place, &closed, &train), &parts);
    assert!(!place.path("run").exists());
    refused(
        &lingo(&place, "ftp://nowhere", &["inspect", ID]),
        &["HF_ENDPOINT", "ftp://nowhere", "https://"],
    );
}

#[test]
fn what_the_hub_refuses_is_said_with_the_remedy() {
    let place = Place::new();
    let hub = Hub::start(Model::quickstart(ID));
    for absent in ["facebook/opt-none", "facebook/opt-tiny@v9"] {
        let output = lingo(&place, &hub.endpoint, &["inspect", absent]);
        refused(&output, &[absent, "no such model", "local folder"]);
    }

    let mut gated = Model::quickstart(ID);
    gated.token = Some("hf_secret".to_owned());
    let hub = Hub::start(gated);
    let output = lingo(&place, &hub.endpoint, &["inspect", ID]);
    refused(&output, &[ID, "401", "set HF_TOKEN"]);
    let cache = place.path("hf");
    let with = |token: &str| {
        let variables = [
            ("HF_HOME", cache.to_str().unwrap()),
            ("HF_ENDPOINT", hub.endpoint.as_str()),
            ("HF_TOKEN", token),
        ];
        place.lingo_in(&variables, &["inspect", ID])
    };
    let output = with("hf_wrong");
    refused(&output, &["401", "token's account"]);
    assert!(!stderr(&output).contains("hf_wrong"));
    succeeded(&with("hf_secret"));

    for (status, part) in [(403, "HF_TOKEN"), (503, "try again later")] {
        let place = Place::new();
        let mut model = Model::quickstart(ID);
        model.status = status;
        let hub = Hub::start(model);
        let output = lingo(&place, &hub.endpoint, &["inspect", ID]);
        refused(&output, &[ID, &status.to_string(), part]);
    }
}

#[test]
fn a_repository_without_a_model_that_can_be_read_is_refused_before_its_weights_come() {
    let place = Place::new();
    let mut model = Model::quickstart(ID);
    for file in ["model.safetensors", "pytorch_model.bin"] {
        model.files.remove(file);
    }
    let hub = Hub::start(model.clone());
    let output = lingo(&place, &hub.endpoint, &["inspect", ID]);
    refused(&output, &[ID, "no weights", "tf_model.h5", ".gguf"]);
    model.files.remove("config.json");
    let hub = Hub::start(model);
    let output = lingo(&place, &hub.endpoint, &["inspect", ID]);
    refused(&output, &[ID, "no config.json"]);

    let mut strange = Model::quickstart(ID);
    strange.put("config.json", b"{\"model_type\": \"rwkv\"}");
    let hub = Hub::start(strange);
    let output = lingo(&place, &hub.endpoint, &["inspect", ID]);
    refused(&output, &["config.json", "`rwkv`"]);
    assert_eq!(hub.fetched(), ["config.json"]);
}

#[test]
fn a_hostile_hub_writes_nothing_outside_its_model() {
    let place = Place::new();
    let refuse = |spoil: &dyn Fn(&mut Model), parts: &[&str]| {
        let mut model = Model::quickstart(ID);
        spoil(&mut model);
        let hub = Hub::start(model);
        refused(&lingo(&place, &hub.endpoint, &["inspect", ID]), parts);
    };
    refuse(
        &|model| model.commit = "../../../evil".to_owned(),
        &["evil", "no commit", "HF_ENDPOINT"],
    );
    refuse(
        &|model| model.tag = "../../../evil".to_owned(),
        &["config.json", "evil", "HF_ENDPOINT"],
    );
    refuse(
        &|model| {
            model.files.remove("model.safetensors");
            let index = b"{\"weight_map\": {\"a\": \"../../../../evil\"}}";
            model.put("model.safetensors.index.json", index);
            model.put("../../../../evil", b"evil");
        },
        &["model.safetensors.index.json", "evil", "own folder"],
    );
    for hostile in ["../evil", "owner/..", "owner/na..me", "owner/name@.."] {
        let output = offline(&place, &["inspect", hostile]);
        refused(&output, &["no such file or folder"]);
    }
    let mut here = names(&place, ".");
    here.retain(|name| !["data", "hf"].contains(&name.as_str()));
    assert_eq!(here, Vec::<String>::new());
    assert_eq!(names(&place, "hf"), ["hub"]);
    assert_eq!(names(&place, "hf/hub"), ["models--facebook--opt-tiny"]);
}

#[test]
fn files_that_were_moved_and_are_kept_elsewhere_are_followed_without_the_token() {
    let place = Place::new();
    let mut model = Model::quickstart(ID);
    model.manner = Manner::Elsewhere;
    model.token = Some("hf_secret".to_owned());
    model.cuts = 1;
    let hub = Hub::start(model.clone());
    let cache = place.path("hf");
    let variables = [
        ("HF_HOME", cache.to_str().unwrap()),
        ("HF_ENDPOINT", hub.endpoint.as_str()),
        ("HF_TOKEN", "hf_secret"),
    ];
    succeeded(&place.lingo_in(&variables, &["inspect", ID]));
    for file in ["config.json", "model.safetensors"] {
        assert_eq!(snapshot(&place, file), model.files[file], "{file}");
    }
    // The tag is the hub's own, not that of the server which keeps the content.
    let blobs = names(&place, "hf/hub/models--facebook--opt-tiny/blobs");
    assert!(
        blobs.iter().all(|name| name.starts_with("tag-")),
        "{blobs:?}"
    );
}

#[test]
fn a_hub_that_makes_no_sense_is_one_error() {
    let cases: [(Manner, &[&str]); 8] = [
        (Manner::Nowhere, &["config.json", "redirects", "to nowhere"]),
        (
            Manner::Circle,
            &["redirects", "config.json", "more than 5 times"],
        ),
        (
            Manner::Senseless,
            &["redirects", "config.json", "`file:///etc/passwd`"],
        ),
        (Manner::Page, &["does not answer as", "expected value"]),
        (
            Manner::Size(10),
            &["sends more of config.json than the 10 bytes"],
        ),
        (Manner::Size(0), &["sends more of config.json"]),
        (
            Manner::Size(1 << 60),
            &["config.json", "cut off", "of 1152921504606846976 bytes"],
        ),
        (Manner::NoSize, &["does not say how large config.json is"]),
    ];
    for (manner, parts) in cases {
        let place = Place::new();
        let mut model = Model::quickstart(ID);
        model.manner = manner;
        let hub = Hub::start(model.clone());
        let output = lingo(&place, &hub.endpoint, &["inspect", ID]);
        refused(&output, &[&[ID][..], parts].concat());
        // Nothing stays in the way of a hub that does.
        let hub = Hub::start(Model::quickstart(ID));
        succeeded(&lingo(&place, &hub.endpoint, &["inspect", ID]));
        let file = "config.json";
        assert_eq!(snapshot(&place, file), model.files[file]);
    }
}

#[test]
fn names_in_the_list_of_files_lead_nowhere() {
    let place = Place::new();
    let mut model = Model::quickstart(ID);
    for name in ["../../../evil", "/evil", "..", "config.json/../../evil"] {
        model.put(name, b"evil");
    }
    let hub = Hub::start(model);
    succeeded(&lingo(&place, &hub.endpoint, &["inspect", ID]));
    assert!(hub.asked().iter().all(|asked| !asked.contains("evil")));
    let mut here = names(&place, ".");
    here.retain(|name| !["data", "hf"].contains(&name.as_str()));
    assert_eq!(here, Vec::<String>::new());
}

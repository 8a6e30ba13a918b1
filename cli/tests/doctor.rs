//! `verify` and `repair` from the shell: what they say, and with which exit code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bench;

use bench::{Bench, STORES, bytes_below, python};
use serde_json::Value;

fn codes(bench: &Bench, command: &str, args: &[&str]) -> (i32, String) {
    let out = bench.run(command, args);
    (out.status.code().unwrap(), String::from_utf8(out.stdout).unwrap() + &String::from_utf8(out.stderr).unwrap())
}

#[test]
fn sound_files_exit_with_0() {
    for store in STORES {
        let bench = Bench::new(store);
        let before = bytes_below(&bench.store);
        let (code, said) = codes(&bench, "verify", &[]);
        assert_eq!(code, 0, "{said}");
        assert!(said.contains("--deep reads all"), "{said}");
        let (code, said) = codes(&bench, "verify", &["--deep", "--json"]);
        assert_eq!(code, 0, "{said}");
        let json: Value = serde_json::from_str(&said).unwrap();
        assert_eq!((&json["sound"], &json["deep"]), (&Value::from(true), &Value::from(true)));
        assert!(bytes_below(&bench.store) == before);
    }
}

#[test]
fn findings_exit_with_1_and_failures_with_2() {
    let bench = Bench::new(STORES[0]);
    python("h5py.File(path, 'r+')['obs/louvain/codes'][3] = 77", &bench.store);
    let (code, said) = codes(&bench, "verify", &[]);
    assert!(code == 1 && said.contains("damage: `obs/louvain/codes`: code 77") && said.contains("1 damaged"), "{said}");
    let (code, said) = codes(&bench, "verify", &["--json"]);
    let json: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &json["findings"][0]["severity"]), (1, &Value::from("damage")));
    assert_eq!(json["findings"][0]["path"], "obs/louvain/codes");
    let (code, said) = codes(&bench, "repair", &["--yes"]);
    assert!(code == 1 && said.contains("no one right answer") && said.contains("code 77"), "{said}");
    std::fs::write(&bench.store, "text").unwrap();
    let (code, said) = codes(&bench, "verify", &[]);
    assert!(code == 2 && said.contains("adshadow: error: ") && said.contains(STORES[0]), "{said}");
}

#[test]
fn repair_says_what_it_does_and_asks() {
    for store in &STORES[1..] {
        let bench = Bench::new(store);
        python("shutil.rmtree(path + '/obsm/X_pca')", &bench.store);
        let (code, said) = codes(&bench, "verify", &[]);
        assert!(
            code == 1 && said.contains("stale: ") && said.contains("obsm/X_pca") && said.contains("repair: "),
            "{said}"
        );
        let before = bytes_below(&bench.store);
        let (code, said) = codes(&bench, "repair", &["--dry-run"]);
        assert!(code == 0 && said.contains("renew the consolidated metadata"), "{said}");
        // Nobody to be asked.
        let (code, said) = codes(&bench, "repair", &[]);
        assert!(code == 1 && said.contains("--yes"), "{said}");
        assert!(bytes_below(&bench.store) == before);
        let (code, said) = codes(&bench, "repair", &["--yes"]);
        assert!(code == 0 && said.contains("renewed the consolidated metadata"), "{said}");
        assert_eq!(codes(&bench, "verify", &["--deep"]).0, 0);
        let said = python("print('X_pca' in anndata.read_zarr(path).obsm)", &bench.store);
        assert_eq!(said.trim(), "False");
        let (code, said) = codes(&bench, "repair", &["--yes"]);
        assert!(code == 0 && said.contains("nothing that can be mended"), "{said}");
    }
}

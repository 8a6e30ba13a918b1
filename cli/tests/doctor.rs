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
        assert!(code == 1 && said.contains("renew the consolidated metadata"), "{said}");
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

/// Runs the command under strace, killed at the n-th time that it waits for the disk. Gives whether it was killed, and how often it
/// has waited; `None` where there is no strace.
fn killed_at(bench: &Bench, n: usize, args: &[&str]) -> Option<(bool, usize)> {
    let waits = tempfile::NamedTempFile::new().unwrap();
    let inject = format!("inject=fsync,fdatasync:signal=SIGKILL:when={n}");
    let out = std::process::Command::new("strace")
        .current_dir(bench.dir.path())
        .args(["-f", "-e", "trace=fsync,fdatasync", "-e", &inject, "-o"])
        .arg(waits.path())
        .arg(env!("CARGO_BIN_EXE_adshadow"))
        .args(args)
        .output()
        .ok()?;
    let waits = std::fs::read_to_string(waits.path()).unwrap().lines().filter(|line| line.contains("sync(")).count();
    Some((!out.status.success(), waits))
}

#[test]
fn what_a_killed_write_leaves_is_found_and_ended() {
    for store in STORES {
        let (mut left, mut carried_out, mut recovered) = (0, 0, 0);
        let write = ["set", store, "obsm/X_pca", "--from", "u.npy"];
        let bench = Bench::new(store);
        bench.ok("get", &["obsm/X_umap", "-o", "u.npy"]);
        let Some((killed, waits)) = killed_at(&bench, 60_000, &write) else {
            return eprintln!("strace is missing: nothing was killed");
        };
        assert!(!killed && waits > 5, "{store}: {waits}");
        drop(bench);
        // At the beginning, and around the moment from which the write counts.
        for n in [1, waits / 2].into_iter().chain(waits.saturating_sub(5)..=waits) {
            let bench = Bench::new(store);
            bench.ok("get", &["obsm/X_umap", "-o", "u.npy"]);
            assert!(killed_at(&bench, n, &write).unwrap().0, "{store}: not killed at {n} of {waits}");
            std::fs::write(bench.path("list.toml"), "[[change]]\nrm = 'raw'\n").unwrap();
            let folder = bytes_below(bench.dir.path());
            let (code, said) = codes(&bench, "verify", &["--deep"]);
            assert!(!said.contains("damage"), "{store}, kill {n}: {said}");
            assert!(bytes_below(bench.dir.path()) == folder, "{store}, kill {n}: looking changed something");
            if code == 0 {
                continue;
            }
            left += 1;
            assert!(said.contains("stale: `/`: `.") && said.contains("repair: "), "{store}, kill {n}: {said}");
            carried_out += usize::from(said.contains("carry the write out"));
            bench.ok("recover", &["--dry-run"]);
            assert_eq!(codes(&bench, "repair", &["--dry-run"]).0, 1, "{store}, kill {n}: nothing is mended yet");
            if said.contains("carry the write out") {
                bench.fails("rm", &["raw", "--dry-run"], &[store, "`adshadow recover` first"]);
                bench.fails("rm", &["raw", "--dry-run", "--no-lock"], &[store, "`adshadow recover` first"]);
                bench.fails("diff", &["list.toml"], &[store, "`adshadow recover` first"]);
                bench.fails("compact", &["--dry-run"], &[store, "`adshadow recover` first"]);
            }
            assert!(bytes_below(bench.dir.path()) == folder, "{store}, kill {n}: a dry run changed something");
            let (command, args) = if n % 2 == 0 { ("recover", &[][..]) } else { ("repair", &["--yes"][..]) };
            let done = bench.ok(command, args);
            recovered += done.lines().count();
            let (code, said) = codes(&bench, "verify", &["--deep"]);
            assert!(code == 0, "{store}, kill {n}: {done}{said}");
            let shape = bench.shadow().obsm().info("X_pca").unwrap().shape;
            assert!(shape == [700, 50] || shape == [700, 2], "{store}, kill {n}: {shape:?}");
            assert_eq!(bench.ok("recover", &[]), "nothing is left of any write\n");
        }
        assert!(left > 1 && carried_out > 0 && recovered >= left, "{store}: {left} left, {carried_out} to carry out");
    }
}

#[test]
fn what_nobody_can_decide_is_told_and_left_alone() {
    let left_alone = |bench: &Bench, name: &str| {
        let before = bytes_below(bench.dir.path());
        let (code, said) = codes(bench, "verify", &[]);
        assert!(code == 1 && said.contains("stale: `/`: `.") && !said.contains("repair: "), "{name}: {said}");
        for args in [&["--yes"][..], &["--dry-run"]] {
            let (code, said) = codes(bench, "repair", args);
            assert!(code == 1 && said.contains("no one right answer") && said.contains(name), "{name}: {said}");
        }
        assert!(bench.ok("recover", &["--dry-run"]).contains("to be left alone"), "{name}");
        assert!(bytes_below(bench.dir.path()) == before, "{name}");
    };
    // Of an earlier version, and of another computer.
    for name in [".adshadow-old-4294967295-0-X", ".adshadow-stage-elsewhere-1-0"] {
        let bench = Bench::new(STORES[2]);
        std::fs::create_dir(bench.store.join(name)).unwrap();
        std::fs::write(bench.store.join(name).join("zarr.json"), "{}").unwrap();
        left_alone(&bench, name);
        let said = bench.ok("recover", &[]);
        assert!(said.starts_with("left alone: ") && said.contains(name) && said.lines().count() == 1, "{said}");
        assert!(bench.store.join(name).join("zarr.json").exists());
    }
}

#[test]
fn metadata_are_consolidated_without_a_lock_too() {
    let bench = Bench::new(STORES[2]);
    let other = std::fs::File::open(&bench.store).unwrap();
    other.lock().unwrap();
    bench.fails("consolidate", &[], &[STORES[2]]);
    bench.ok("consolidate", &["--no-lock"]);
}

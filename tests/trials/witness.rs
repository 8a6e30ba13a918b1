//! [`Witness`]: Python, started once, that makes stores and says what unmodified readers find in them.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use super::picture::Seen;
use super::{Container, Edit, Picture};

pub struct Witness {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Witness {
    pub fn new() -> Self {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python = std::env::var_os("ADSHADOW_PYTHON").unwrap_or_else(|| here.join(".venv/bin/python").into());
        let mut child = Command::new(python)
            .arg("-B")
            .arg(here.join("tests/python/witness.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("no Python: {e}: run `make test`, or tools/setup.sh"));
        let questions = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, questions, answers }
    }

    fn ask(&mut self, job: &Value) -> Value {
        writeln!(self.questions, "{job}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap_or_else(|e| panic!("{job}: {e}: {answer}"))
    }

    /// Writes the store of trials at `path`.
    pub fn make(&mut self, container: Container, path: &Path) {
        self.make_as(container, path, false);
    }

    /// The same, with X as a sparse matrix if so.
    pub fn make_as(&mut self, container: Container, path: &Path, sparse: bool) {
        self.ask(&json!({"do": "make", "container": container.name(), "path": path, "sparse": sparse}));
    }

    /// What is in the store at `path` once `edit` is applied, by Python alone.
    pub fn truth(&mut self, container: Container, path: &Path, edit: Edit) -> Picture {
        let edits: Vec<&str> = edit.parts().iter().map(|part| part.name()).collect();
        let job = json!({"do": "truth", "container": container.name(), "path": path, "edits": edits});
        picture(&self.ask(&job)).unwrap_or_else(|e| panic!("{edits:?}: {e}"))
    }

    /// What each reader finds in the store at `path`: a picture, or an error's text.
    pub fn read(&mut self, container: Container, path: &Path) -> BTreeMap<String, Result<Picture, String>> {
        let views = self.ask(&json!({"do": "read", "container": container.name(), "path": path}));
        views.as_object().unwrap().iter().map(|(name, view)| (name.clone(), picture(view))).collect()
    }
}

fn picture(answer: &Value) -> Result<Picture, String> {
    match answer {
        Value::Object(map) => {
            Ok(map.iter().map(|(k, v)| (k.clone(), Seen::Text(v.as_str().unwrap().to_owned()))).collect())
        }
        other => Err(other.as_str().unwrap_or("no answer").to_owned()),
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! A child under `strace`: which of its system calls change the file system below a folder, and what comes of killing it at
//! one of them, or of letting one fail. strace counts calls by their name and thread, so children run in one thread.

use std::collections::HashMap;
use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Calls that change files, directories, or what of them is on disk. `?`: where there is such a call.
const CALLS: &str = "write,pwrite64,writev,pwritev,?pwritev2,?rename,renameat,renameat2,?unlink,unlinkat,?rmdir,ftruncate,\
    truncate,?mkdir,mkdirat,?link,linkat,?symlink,symlinkat,fsync,fdatasync,?sync_file_range,openat,?open,?creat,fallocate,\
    copy_file_range,sendfile,ioctl,?chmod,fchmod,fchmodat,?chown,fchown,fchownat,utimensat,setxattr,fsetxattr,msync,mmap";

/// A system call: the `nth` of its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    pub call: String,
    pub nth: usize,
    /// As strace prints it.
    pub text: String,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} number {}: {}", self.call, self.nth, self.text)
    }
}

/// What a child ended with.
pub struct Ended {
    pub killed: bool,
    pub output: String,
    pub success: bool,
}

fn strace(arguments: &[&str], child: &Command) -> Output {
    let mut strace = Command::new("strace");
    // Cargo's long list of folders, in each of which the linker would look for every library first.
    strace.env_remove("LD_LIBRARY_PATH");
    // Not `--seccomp-bpf`: with it strace 6.1 counts no further than the first call.
    strace.args(["-f", "-qq"]).args(arguments).arg(child.get_program()).args(child.get_args());
    for (name, value) in child.get_envs() {
        match value {
            Some(value) => strace.env(name, value),
            None => strace.env_remove(name),
        };
    }
    let run = strace.stdin(Stdio::null()).output();
    run.unwrap_or_else(|e| panic!("strace: {e}: these tests need it; tools/setup.sh installs it"))
}

/// All calls of `child` that change something below `folder`, in order.
pub fn record(child: &Command, folder: &Path) -> Vec<Point> {
    let log = tempfile::NamedTempFile::new().unwrap();
    let log_path = log.path().to_str().unwrap();
    let ended = strace(&["-y", "-s", "0", "-o", log_path, "-e", &format!("trace={CALLS}")], child);
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success(), "{said}\n{}", String::from_utf8_lossy(&ended.stderr));
    let text = std::fs::read_to_string(log.path()).unwrap();
    let folder = folder.to_str().unwrap();
    let (mut counts, mut points) = (HashMap::<(&str, &str), usize>::new(), Vec::new());
    let mut thread = None;
    for line in text.lines() {
        let Some((id, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        let Some((call, arguments)) = rest.split_once('(') else { continue };
        if rest.starts_with(['<', '+', '-']) {
            continue;
        }
        let nth = counts.entry((id, call)).and_modify(|n| *n += 1).or_insert(1);
        let changes = match call {
            "openat" | "open" => arguments.contains("O_CREAT") || arguments.contains("O_TRUNC"),
            "ioctl" => arguments.contains("FICLONE"),
            "mmap" => arguments.contains("PROT_WRITE") && arguments.contains("MAP_SHARED"),
            _ => true,
        };
        if changes && rest.contains(folder) {
            assert_eq!(*thread.get_or_insert(id), id, "the child changes files in several threads: {rest}");
            let text = rest.replace(folder, "").chars().take(160).collect();
            points.push(Point { call: call.to_owned(), nth: *nth, text });
        }
    }
    for point in &points {
        let ahead =
            counts.iter().find(|((id, call), n)| Some(*id) != thread && *call == point.call && **n >= point.nth);
        assert!(ahead.is_none(), "another thread makes this call as often: {point}");
    }
    points
}

/// All calls of `child` with all of their arguments, in strace's words with texts in hexadecimal.
pub fn transcript(child: &Command) -> String {
    let log = tempfile::NamedTempFile::new().unwrap();
    let calls = format!("trace={CALLS},lseek");
    let ended = strace(&["-y", "-xx", "-s", "100000000", "-o", log.path().to_str().unwrap(), "-e", &calls], child);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    std::fs::read_to_string(log.path()).unwrap()
}

fn end(output: &Output) -> Ended {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    Ended {
        killed: output.status.signal() == Some(9),
        output: String::from_utf8_lossy(&text).into_owned(),
        success: output.status.success(),
    }
}

/// Runs `child` and kills it as it enters a call, which is then not carried out.
pub fn kill_at(child: &Command, point: &Point) -> Ended {
    let Point { call, nth, .. } = point;
    let inject = format!("inject={call}:signal=SIGKILL:when={nth}");
    end(&strace(&["-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject], child))
}

/// Runs `child` and lets one call fail.
pub fn fail_at(child: &Command, point: &Point, error: &str) -> Ended {
    let Point { call, nth, .. } = point;
    let inject = format!("inject={call}:error={error}:when={nth}");
    end(&strace(&["-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject], child))
}

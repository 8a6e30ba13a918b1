//! `adshadow verify`: what is wrong with a file; `repair` and `recover`: mending what has one right answer.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;

use anndata_shadow::store::{Fate, LeftOver, left_over, recover as recover_store};
use anndata_shadow::{Finding, Report, Severity, VerifyOptions};
use serde_json::{Value, json};

use crate::args::{RecoverArgs, RepairArgs, VerifyArgs};
use crate::ask;
use crate::failure::Outcome;
use crate::progress::Bar;

/// Gives 0 where nothing was found but notes, and 1 otherwise.
pub(crate) fn run(args: &VerifyArgs) -> Outcome<ExitCode> {
    let report = look(&args.path, args.deep)?;
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", as_json(args, &report))?;
    } else {
        report.findings.iter().try_for_each(|finding| show(&mut out, finding))?;
        writeln!(out, "{}", summary(&report, args.deep))?;
    }
    Ok(if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Says what it will do, asks, and does it. Gives 1 where something is left that is no note.
pub(crate) fn repair(args: &RepairArgs) -> Outcome<ExitCode> {
    let report = look(&args.path, false)?;
    let repairs = report.repairs();
    let mut out = io::stdout().lock();
    if repairs.is_empty() {
        writeln!(out, "nothing that can be mended without a choice")?;
    } else {
        writeln!(out, "to be done:")?;
        repairs.iter().try_for_each(|line| writeln!(out, "  {line}"))?;
    }
    let left = |finding: &&Finding| finding.repair.is_none() && finding.severity != Severity::Note;
    say_left(&mut out, report.findings.iter().filter(left))?;
    if args.dry_run || repairs.is_empty() {
        if args.dry_run {
            writeln!(out, "dry run: nothing changed")?;
        }
        return Ok(if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    ask::agree(args.yes, "mend this?")?;
    report.repair(args.lock.locking())?.iter().try_for_each(|line| writeln!(out, "{line}"))?;
    // What could not be mended after all, and what came to light by mending.
    let after = look(&args.path, false)?;
    let new = |finding: &&Finding| {
        finding.severity != Severity::Note && !report.findings.iter().filter(left).any(|f| f == *finding)
    };
    say_left(&mut out, after.findings.iter().filter(new))?;
    Ok(if after.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn say_left<'f>(out: &mut impl Write, findings: impl Iterator<Item = &'f Finding>) -> io::Result<()> {
    let mut findings = findings.peekable();
    if findings.peek().is_some() {
        writeln!(out, "left as it is, for there is no one right answer:")?;
    }
    findings.try_for_each(|finding| writeln!(out, "  {finding}"))
}

/// Ends what interrupted writes have left, as the next opening for writing would.
pub(crate) fn recover(args: &RecoverArgs) -> Outcome<()> {
    let mut out = io::stdout().lock();
    let left = left_over(&args.path)?;
    if left.is_empty() {
        writeln!(out, "nothing is left of any write")?;
    } else if args.dry_run {
        for LeftOver { path, what, fate } in left {
            let then = match fate {
                Fate::CarryOut => "to be carried out",
                Fate::Forget => "to be removed",
                Fate::LeaveAlone => "to be left alone",
            };
            writeln!(out, "`{}`: {what}: {then}", path.display())?;
        }
        writeln!(out, "dry run: nothing changed")?;
    } else {
        recover_store(&args.path, args.lock.locking())?.iter().try_for_each(|line| writeln!(out, "{line}"))?;
        for LeftOver { path, what, .. } in left_over(&args.path)? {
            writeln!(out, "left alone: `{}`: {what}", path.display())?;
        }
    }
    Ok(())
}

fn look(path: &Path, deep: bool) -> Outcome<Report> {
    let options = VerifyOptions::default().deep(deep);
    if !deep {
        return Ok(anndata_shadow::verify(path, &options)?);
    }
    let bar = Bar::bytes();
    let tell = |done: u64, total: u64| {
        bar.tell(done, total);
        ControlFlow::Continue(())
    };
    Ok(anndata_shadow::verify(path, &options.progress(&tell))?)
}

fn show(out: &mut impl Write, finding: &Finding) -> io::Result<()> {
    writeln!(out, "{finding}")?;
    match &finding.repair {
        Some(repair) => writeln!(out, "  repair: {repair}"),
        None => Ok(()),
    }
}

fn summary(report: &Report, deep: bool) -> String {
    let count = |severity| report.findings.iter().filter(|f| f.severity == severity).count();
    let [damage, stale, notes] = [Severity::Damage, Severity::Stale, Severity::Note].map(count);
    let mut counts = Vec::new();
    for (n, what) in [(damage, "damaged"), (stale, "stale"), (notes, "to note")] {
        if n > 0 {
            counts.push(format!("{n} {what}"));
        }
    }
    let found = if counts.is_empty() { "nothing found".to_owned() } else { counts.join(", ") };
    let mut lines = vec![found];
    if !deep {
        lines.push("data were not read but where they are small; --deep reads all".to_owned());
    }
    if !report.repairs().is_empty() {
        lines.push("`adshadow repair` does the repairs named here".to_owned());
    }
    lines.join("\n")
}

fn as_json(args: &VerifyArgs, report: &Report) -> Value {
    let finding = |found: &Finding| {
        json!({
            "severity": found.severity.to_string(),
            "path": found.path,
            "what": found.what,
            "repair": found.repair,
        })
    };
    json!({
        "path": args.path.display().to_string(),
        "deep": args.deep,
        "complete": report.complete,
        "sound": report.is_sound(),
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
    })
}

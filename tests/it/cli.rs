//! The command line without a server: exit codes, messages, broken pipes.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use crate::support::DEADLINE;
use crate::support::process::Home;

#[tokio::test]
async fn a_mistake_on_the_command_line_is_two() {
    let home = Home::new();
    for line in [
        &["fly"][..],
        &[],
        &["list", "pods"],
        &["describe", "job"],
        &["send"],
        &["crd", "node"],
        &["dev", "--memory", "--data-dir", "/x"],
        &["dev", "--max-event-bytes", "2000000"],
        &["dev", "--memory", "--sink", "0.0.0.0:0"],
        &["list", "--server", "http://x", "--context", "y"],
        &["list", "--kubeconfig", "/nowhere/at/all"],
        &["apply", "-f", "/nowhere/at/all"],
        &["list", "--server", "ftp://x"],
        &["list", "--log", "kakehi=loud"],
    ] {
        let message = home.run(line).await.bad(2);
        assert!(!message.is_empty(), "{line:?}");
    }
}

#[tokio::test]
async fn help_and_version_are_success() {
    let home = Home::new();
    let help = home.run(&["--help"]).await.good();
    for verb in ["try", "dev", "send", "run", "list", "describe", "logs", "cancel", "delete", "apply", "crd"]
    {
        assert!(help.contains(&format!("\n  {verb} ")), "{verb}: {help}");
        assert!(home.run(&[verb, "--help"]).await.good().contains("Usage: kakehi"), "{verb}");
    }
    assert!(home.run(&["--version"]).await.good().starts_with("kakehi 0."));
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_three_and_says_what_to_do() {
    let home = Home::new();
    for line in [
        &["list", "--server", "http://127.0.0.1:1"][..],
        &["run", "x", "--server", "http://127.0.0.1:1"],
        &["logs", "x", "--server", "http://127.0.0.1:1"],
        &["delete", "job", "x", "--server", "http://127.0.0.1:1"],
        &["send", "-t", "t", "--sink", "http://127.0.0.1:1"],
    ] {
        let message = home.run(line).await.bad(3);
        assert!(message.contains("error: cannot reach the"), "{line:?}: {message}");
        assert!(message.contains("hint: "), "{line:?}: {message}");
        assert!(message.contains("caused by: "), "{line:?}: {message}");
        assert!(message.starts_with("error: "), "nothing is logged before it: {message}");
    }
}

#[tokio::test]
async fn a_mistake_in_a_manifest_names_file_and_document() {
    let home = Home::new();
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\nkind: Job\nmetadata: {name: b}\n";
    let path = home.file("jobs.yaml", text);
    for verb in [&["apply", "-f"][..], &["dev", "--memory", "-f"], &["try", "-f"]] {
        let message = home.run(&[verb, &[path.as_str()]].concat()).await.bad(2);
        assert!(message.contains("jobs.yaml, document 2 (line 5): no apiVersion"), "{message}");
    }
}

#[tokio::test]
async fn a_reader_that_has_seen_enough_ends_the_writer_quietly() {
    let home = Home::new();
    let mut child = home.kakehi(&["crd"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 16];
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut first).await.unwrap();
    drop(out);
    let ended = timeout(DEADLINE, child.wait_with_output()).await.unwrap().unwrap();
    assert_eq!(ended.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
}

#[tokio::test]
async fn the_definitions_come_as_json_too() {
    let list = Home::new().run(&["crd", "-o", "json"]).await.json();
    let kinds: Vec<&Value> =
        list["items"].as_array().unwrap().iter().map(|item| &item["spec"]["names"]["kind"]).collect();
    assert_eq!(kinds, ["Job", "Execution", "Trigger"]);
}

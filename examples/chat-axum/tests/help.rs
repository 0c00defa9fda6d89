//! The program, asked how it is called.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

use std::process::Command;

/// It is printed, and nothing is read, made or started.
#[test]
fn help_says_what_can_be_set() {
    let folder = std::env::temp_dir().join("privet-chat-axum-not-made");
    for word in ["--help", "-h"] {
        let mut program = Command::new(env!("CARGO_BIN_EXE_chat-axum"));
        let output =
            program.arg(word).env("PRIVET_ADDR", "none").env("PRIVET_DATA", &folder).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{}\n", chat_shop::USAGE));
    }
    assert!(!folder.exists());
}

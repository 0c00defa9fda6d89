//! Run with `cargo run -p chat-axum`.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    chat_axum::run(chat_axum::CATALOGUE, privet::SystemClock).await
}

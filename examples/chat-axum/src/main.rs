//! Run with `cargo run -p chat-axum`.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    chat_shop::run(chat_shop::CATALOGUE, privet::SystemClock, chat_axum::serve).await
}

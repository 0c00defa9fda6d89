//! Run with `cargo run -p chat-actix`.

use std::process::ExitCode;

#[actix_web::main]
async fn main() -> ExitCode {
    chat_shop::run(chat_shop::CATALOGUE, privet::SystemClock, chat_actix::serve).await
}

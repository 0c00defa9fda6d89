//! Prints which test stands for which must of the law.

#[allow(clippy::print_stdout, reason = "it is what the program is for")]
fn main() {
    println!("{}", privet_tests::law::matrix());
}

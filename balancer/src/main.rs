//! The program: it reads its settings and runs.
fn main() {}

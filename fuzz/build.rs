//! cargo fuzz sets a condition that cargo does not know of.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(fuzzing)");
}

//! Lets libraries that look for `getrandom` at run time find the simulator's own (src/bin/simulate/frozen.rs).

fn main() {
    for program in ["simulate", "planted"] {
        println!("cargo:rustc-link-arg-bin={program}=-Wl,--export-dynamic-symbol=getrandom");
    }
    println!("cargo:rerun-if-changed=build.rs");
}

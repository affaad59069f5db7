//! The process's allocator: mimalloc, told to keep what it has.
//!
//! A training step allocates and frees the same tensors again and again; giving their pages back to the system and
//! faulting them in anew took a quarter of a step's time.

// The options can only be set through mimalloc's C interface: two calls with constant arguments, before the first
// thread is started.
#![allow(unsafe_code)]

use libmimalloc_sys::{
    mi_option_large_os_pages, mi_option_set, mi_option_set_enabled, mi_option_t,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay`, which the bindings do not name.
const PURGE_DELAY: mi_option_t = 15;

/// Keeps freed pages, and asks for large ones, unless mimalloc's own environment variables say otherwise.
pub fn configure() {
    let set = |name| std::env::var_os(name).is_some();
    if !set("MIMALLOC_PURGE_DELAY") {
        // SAFETY: any value is valid for this option; a negative one means never.
        unsafe { mi_option_set(PURGE_DELAY, -1) };
    }
    if !set("MIMALLOC_ALLOW_LARGE_OS_PAGES") {
        // SAFETY: a boolean option; where the system has no such pages mimalloc takes ordinary ones.
        unsafe { mi_option_set_enabled(mi_option_large_os_pages, true) };
    }
}

//! The binary: hands the command line to the library and ends with its exit code.

fn main() -> std::process::ExitCode {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    give_back_freed_memory();
    lake::cli::main()
}

/// glibc keeps a heap per thread, and in each up to 64 MB of freed memory once large blocks have been used. Records of
/// a megabyte made `lake bronze` hold 620 MB so, where it asks for 250 at a time. Two heaps serve two busy cores as fast
/// (2 M small records: the same CPU seconds), blocks from 4 MB are mapped by themselves, and a heap keeps 16 MB.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "the C library has no other door; called before any thread is there")]
fn give_back_freed_memory() {
    for (parameter, value) in
        [(libc::M_ARENA_MAX, 2), (libc::M_MMAP_THRESHOLD, 4 << 20), (libc::M_TRIM_THRESHOLD, 16 << 20)]
    {
        // SAFETY: takes two integers and changes nothing but the allocator's own settings. A refusal costs memory only.
        unsafe { libc::mallopt(parameter, value) };
    }
}

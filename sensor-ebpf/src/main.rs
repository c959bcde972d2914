//! sensor's eBPF programs: one object for every supported kernel.
//!
//! A probe (`probe/`) is one kernel hook: it finds the kernel objects that the hook hands over. A
//! collector (`collect/`) reads one kind of event from such objects into a scratch record, and `emit`
//! sends the bytes in use to a ring. `kernel/` holds typed reads over offsets that the agent looked up
//! in the kernel's BTF.
//!
//! Invariant: nothing here decides what an event means; the programs read, count and send.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod budget;
mod collect;
mod direct;
mod emit;
mod enforce;
mod filter;
mod kernel;
mod maps;
mod probe;
mod scratch;

/// The kernel lets only programs under a GPL-compatible licence call its tracing helpers.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier would refuse a program that can get here.
    loop {}
}

//! Once its scratch has grown, evaluation allocates nothing.

#[path = "support/table_event.rs"]
mod table_event;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use sensor_rules::engine::{Rule, RuleMatching, RuleSetBuilder, Scratch};
use sensor_rules::field::Catalogue;
use sensor_rules::format::Output;
use sensor_rules::parse::{ParseOptions, parse_condition};
use sensor_rules::priority::Priority;
use table_event::{Owned, TableEvent};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged; counting touches nothing that it uses.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `alloc` above, and so from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn evaluation_allocates_nothing_after_the_first_event() {
    let mut builder = RuleSetBuilder::new(Catalogue::new(), RuleMatching::All);
    let conditions = (0..200).map(|n| match n % 5 {
        0 => format!("proc.name in (a{n}, b{n}) and fd.name startswith /x"),
        1 => format!("proc.cmdline contains part{n} and not proc.cmdline regex '[a-z]*{n}'"),
        2 => format!("fd.name pmatch (/a, /b{n}/*) or fd.name glob *.{n}"),
        3 => format!("tolower(proc.name) = a{n} and basename(fd.name) icontains x"),
        _ => format!("proc.name exists and fd.num = {n} and concat(proc.name, fd.name) endswith {n}"),
    });
    for condition in conditions {
        let rule = Rule {
            name: condition.as_str().into(),
            condition: parse_condition(&condition, &ParseOptions::RULE).unwrap(),
            output: Output::default(),
            extra_fields: Vec::new(),
            priority: Priority::Debug,
            tags: Vec::new(),
            source: "syscall".into(),
            description: String::new(),
        };
        builder.add(rule).unwrap();
    }
    let rules = builder.build();
    let event = TableEvent::new("open")
        .with_text("proc.name", "a195")
        .with_text("fd.name", "/x/file.197")
        .with_text("proc.cmdline", "cat part196 1234567890")
        .with("fd.num", Owned::Int(199));
    let mut scratch = Scratch::new();
    let mut matches = 0;
    rules.evaluate(&event, &mut scratch, |_| matches += 1);
    // The event of this test spells a field's name to find it; a real one does not.
    let by_event = allocations(|| {
        for field in rules.fields() {
            let _ = field.to_string();
        }
    });
    let again = allocations(|| rules.evaluate(&event, &mut scratch, |_| matches += 1));
    assert!(matches >= 6, "the event matches some rules");
    assert!(
        again <= by_event,
        "{again} allocations, of which the event's own are at most {by_event}"
    );
}

fn allocations(run: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.with(Cell::get);
    run();
    ALLOCATIONS.with(Cell::get) - before
}

//! Cases of our own beside Falco's: what conditions say of events, by what their kin among libs' tests do.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use sensor_rules::check::check;
use sensor_rules::compile::Program;
use sensor_rules::engine::Scratch;
use sensor_rules::field::Catalogue;
use sensor_rules::parse::{ParseOptions, parse_condition};
use sensor_rules::testing::TableEvent;

/// An event as a file of rule tests would have it.
fn event(fields: &[(&'static str, &'static str)], ancestors: &[&'static str]) -> TableEvent {
    let ancestors: Vec<_> = ancestors.iter().map(|name| vec![("proc.name", *name)]).collect();
    TableEvent::new(&Catalogue::new(), fields.iter().copied(), &ancestors).unwrap()
}

/// What a condition says; `None` where it does not compile.
fn says(condition: &str, event: &TableEvent) -> Option<bool> {
    let expr = parse_condition(condition, &ParseOptions::RULE).ok()?;
    let checked = check(&expr, &Catalogue::new()).ok()?;
    Some(Program::new(&checked).matches(event, &mut Scratch::new()))
}

fn all(event: &TableEvent, cases: &[(&str, Option<bool>)]) {
    let wrong: Vec<_> = cases
        .iter()
        .filter(|(condition, expected)| says(condition, event) != *expected)
        .map(|(condition, expected)| format!("{condition}: not {expected:?}"))
        .collect();
    assert!(
        wrong.is_empty(),
        "{} of {} differ\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}

const YES: Option<bool> = Some(true);
const NO: Option<bool> = Some(false);
const ERROR: Option<bool> = None;

#[test]
fn addresses_and_networks() {
    let v4 = event(
        &[
            ("evt.type", "connect"),
            ("fd.sip", "142.251.111.147"),
            ("fd.cip", "172.40.111.222"),
            ("fd.sport", "443"),
            ("fd.cport", "54321"),
        ],
        &[],
    );
    all(
        &v4,
        &[
            ("fd.rip = 142.251.111.147", YES),
            ("fd.lip == 172.40.111.222", YES),
            ("fd.ip = 142.251.111.148", NO),
            ("fd.ip != 142.251.111.148", YES),
            ("fd.ip != 172.40.111.222", NO),
            ("fd.ip in (10.0.0.1, 172.40.111.222)", YES),
            ("fd.ip in (10.0.0.1)", NO),
            ("fd.sip in (142.251.111.147)", YES),
            ("fd.sip != ::1", YES),
            ("fd.sip = ::1", NO),
            ("fd.sip in (::1)", NO),
            ("fd.snet = 142.251.111.0/24", YES),
            ("fd.snet in (10.0.0.0/8, 142.0.0.0/8)", YES),
            ("fd.snet in (10.0.0.0/8, 11.0.0.0/8)", NO),
            ("fd.cnet intersects (172.16.0.0/12, 172.40.0.0/16)", YES),
            ("fd.net = 172.40.111.222/32", YES),
            ("fd.net != 172.40.0.0/16", NO),
            ("fd.net in (10.0.0.0/8, 172.40.0.0/16)", YES),
            ("fd.net = 0.0.0.0/0", YES),
            ("fd.net = 142.251.111.147/33", ERROR),
            ("fd.net = 142.251.111.147", ERROR),
            ("fd.net = 2001:db8::/129", ERROR),
            ("fd.sip = 999.1.1.1", ERROR),
            ("fd.sip > 10.0.0.1", ERROR),
            ("fd.sip contains 10", ERROR),
            ("fd.sip = anyof (10.0.0.1, 142.251.111.147)", YES),
            ("fd.sip != allof (142.251.111.147, 10.0.0.1)", NO),
            ("fd.sip == oneof (142.251.111.147, 10.0.0.1)", YES),
            ("fd.snet = anyof (10.0.0.0/8, 142.0.0.0/8)", YES),
            ("fd.sip startswith oneof (142.251.111.147)", ERROR),
            ("fd.port = 443", YES),
            ("fd.port = 54321", YES),
            ("fd.port = 80", NO),
            ("fd.port in (80, 443)", YES),
            ("fd.port != 443", NO),
            ("fd.sport = https", YES),
            ("fd.sport in (http, https)", YES),
            ("fd.rport >= 443 and fd.rport < 444", YES),
            ("fd.sport = nosuchservice", ERROR),
            ("fd.sport = val(fd.rport)", YES),
            ("fd.sport = val(fd.cport)", NO),
            ("fd.sip = val(fd.rip)", YES),
            ("fd.sip = val(fd.sport)", ERROR),
            ("fd.snet = val(fd.cnet)", ERROR),
            ("fd.sip = val(fd.ip)", ERROR),
            ("fd.sport exists and fd.name exists", NO),
        ],
    );
    let v6 = event(
        &[
            ("evt.type", "connect"),
            ("fd.sip", "2001:4860:4860::8888"),
            ("fd.cip", "::1"),
        ],
        &[],
    );
    all(
        &v6,
        &[
            ("fd.sip = 2001:4860:4860:0:0:0:0:8888", YES),
            ("fd.ip = ::1", YES),
            ("fd.ip in (10.0.0.1, ::1)", YES),
            ("fd.snet = 2001:4860::/32", YES),
            ("fd.snet = 2001:4861::/32", NO),
            ("fd.snet in (10.0.0.0/8, 2001::/16)", YES),
            ("fd.snet != 10.0.0.0/8", YES),
            ("fd.cip = 0.0.0.1", NO),
            ("fd.cip != 127.0.0.1", YES),
        ],
    );
}

#[test]
fn numbers() {
    let event = event(
        &[
            ("evt.type", "openat"),
            ("evt.rawres", "-22"),
            ("evt.cpu", "1"),
            ("fd.num", "-1"),
            ("proc.pid", "4242"),
            ("proc.ppid", "4242"),
            ("user.uid", "1000"),
            ("evt.num", "1"),
            ("proc.is_exe_writable", "true"),
            ("evt.failed", "true"),
        ],
        &[],
    );
    all(
        &event,
        &[
            ("evt.rawres < 0", YES),
            ("evt.rawres <= -22", YES),
            ("evt.rawres > -65535", YES),
            ("evt.rawres = -22", YES),
            ("evt.rawres in (-22, -2)", YES),
            ("evt.rawres intersects (-2)", NO),
            ("evt.rawres = +5", NO),
            ("evt.rawres = 0x10", ERROR),
            ("evt.rawres > 1.5", ERROR),
            ("evt.rawres > 1e3", ERROR),
            ("evt.rawres = x", ERROR),
            ("evt.rawres contains 2", ERROR),
            ("evt.rawres = oneof (-22)", YES),
            ("evt.rawres >= 0 or fd.num < 0", YES),
            ("evt.cpu > -500", YES),
            ("evt.cpu >= 1 and evt.cpu <= 1", YES),
            ("proc.pid = val(proc.ppid)", YES),
            ("proc.pid > val(proc.ppid)", NO),
            ("proc.pid >= val(proc.ppid)", YES),
            ("proc.pid != val(proc.ppid)", NO),
            ("proc.pid in (4242)", YES),
            ("user.uid = 1000", YES),
            ("user.uid != 0", YES),
            ("user.uid = -1", NO),
            ("proc.is_exe_writable = true", YES),
            ("proc.is_exe_writable != false", YES),
            ("proc.is_exe_writable in (true)", YES),
            ("proc.is_exe_writable = 1", ERROR),
            ("proc.is_exe_writable = True", ERROR),
            ("proc.is_exe_writable > false", ERROR),
            ("evt.failed = true", YES),
            ("evt.num exists", YES),
            ("proc.vpid exists", NO),
            ("proc.vpid != 5", NO),
            ("not proc.vpid = 5", YES),
            ("not proc.vpid exists", YES),
            ("proc.vpid in (5)", NO),
            ("proc.vpid < 5 or proc.vpid >= 5", NO),
            ("proc.vpid = anyof (5)", NO),
            ("proc.vpid = val(proc.pid)", NO),
            ("proc.pid = val(proc.vpid)", NO),
            ("evt.type.is.openat = 1", YES),
            ("evt.type.is.open = 0", YES),
        ],
    );
}

#[test]
fn texts() {
    let event = event(
        &[
            ("evt.type", "execve"),
            ("proc.name", "myexe"),
            ("proc.exepath", "/opt/dir/subdir/file.txt"),
            ("proc.cmdline", "myexe -p 8080 'a b'"),
            ("user.name", ""),
            ("proc.cwd", "/tmp/"),
        ],
        &["bash", "good-exe", "init"],
    );
    all(
        &event,
        &[
            ("proc.name = myexe", YES),
            ("proc.name = 'myexe'", YES),
            ("proc.name = \"my\\x65xe\"", YES),
            ("proc.name == MYEXE", NO),
            ("proc.name < myexf", ERROR),
            ("proc.name in ()", NO),
            ("proc.name in (a, myexe)", YES),
            ("proc.name in ('myexe')", YES),
            ("proc.name intersects (a, myexe)", YES),
            ("proc.name contains ''", YES),
            ("proc.name startswith ''", YES),
            ("proc.name endswith ''", YES),
            ("proc.name icontains YEX", YES),
            ("proc.name glob my???", YES),
            ("proc.name glob m[a-z]exe", YES),
            ("proc.name glob m[!a-z]exe", NO),
            ("proc.name iglob MY*", YES),
            ("proc.name glob ''", NO),
            ("proc.exepath glob /opt/*", YES),
            ("proc.exepath glob *.txt", YES),
            ("proc.exepath glob '/opt/dir/subdir/file\\\\.txt'", YES),
            ("proc.name regex 'my.*'", YES),
            ("proc.name regex my", NO),
            ("proc.name regex '(my|your)exe'", YES),
            ("proc.name regex '[[:alpha:]]+'", YES),
            ("proc.name regex '\\\\w+'", ERROR),
            ("proc.name regex '(?i)MYEXE'", ERROR),
            ("proc.name regex '('", ERROR),
            ("proc.name regex ''", NO),
            ("user.name regex ''", YES),
            ("user.name = \"\"", YES),
            ("user.name exists", YES),
            ("user.name != \"\"", NO),
            ("user.name in ('')", YES),
            ("proc.exepath pmatch (/opt/dir)", YES),
            ("proc.exepath pmatch (/opt/dir/)", YES),
            ("proc.exepath pmatch (/opt/di)", NO),
            ("proc.exepath pmatch (/opt/dir3, /opt/dir)", YES),
            ("proc.exepath pmatch (/opt/dir2, /opt/dir3, /opt/dir)", YES),
            ("proc.exepath pmatch (/)", YES),
            ("proc.exepath pmatch ()", NO),
            ("proc.exepath pmatch (/opt//dir)", YES),
            ("proc.exepath pmatch (/opt/*/subdir)", YES),
            ("proc.exepath pmatch (/opt/*/subdir2)", NO),
            ("proc.exepath pmatch (/*/*/*/*.txt)", YES),
            ("proc.exepath pmatch (/*/*/*/*/*)", NO),
            ("proc.exepath pmatch (/opt/di[rs]/subdir)", YES),
            ("proc.exepath pmatch (/opt/dir/subdir/file.txt/more)", NO),
            ("proc.exepath pmatch (opt/dir)", YES),
            ("proc.exepath pmatch (/opt/*/x, /opt/dir/subdir)", YES),
            ("proc.name = proc.name", NO),
            ("proc.name = val(proc.name)", YES),
            ("proc.name in (val(proc.name))", ERROR),
            ("proc.name = tolower(proc.name)", YES),
            ("proc.name = toupper(proc.name)", NO),
            ("toupper(proc.name) = MYEXE", YES),
            ("toupper(proc.name) in (MYEXE, X)", YES),
            ("tolower(toupper(proc.name)) = val(proc.name)", YES),
            ("toupper(proc.nosuch) = A", ERROR),
            ("toupper(proc.pid) = A", ERROR),
            ("toupper(proc.aname) = A", ERROR),
            ("len(proc.name) = 5", YES),
            ("len(proc.name) in (4, 5)", YES),
            ("len(proc.name) > 5", NO),
            ("len(user.name) = 0", YES),
            ("basename(proc.exepath) = file.txt", YES),
            ("basename(proc.cwd) = ''", YES),
            ("basename(proc.name) = myexe", YES),
            ("toupper(proc.vpid) exists", ERROR),
            ("len(proc.exe) exists", NO),
            ("concat(proc.name, '-', user.name) = 'myexe-'", YES),
            ("join('/', (proc.name, 'x')) = myexe/x", YES),
            ("join('-', ()) = ''", YES),
            ("concat(proc.name) = myexe", ERROR),
            ("concat(proc.name, proc.exe) exists", NO),
            ("b64(proc.name) exists", NO),
            ("proc.name startswith allof (m, my, myexe)", YES),
            ("proc.name startswith oneof (m, my)", NO),
            ("proc.name endswith anyof (x, exe)", YES),
            ("proc.name != oneof (myexe, bash)", YES),
            ("proc.name != oneof (a, b)", NO),
            ("proc.name != anyof (myexe)", NO),
            ("proc.name != anyof (myexe, bash)", YES),
            ("proc.name != allof ()", NO),
            ("proc.name glob oneof (my*, x*)", YES),
            ("proc.name regex oneof (my.*, m.*)", NO),
            ("proc.name < oneof (z)", ERROR),
            ("proc.name in oneof (a)", ERROR),
            ("proc.name = oneof", NO),
            ("proc.name = anyof and proc.name exists", NO),
            ("proc.aname = init", YES),
            ("proc.aname = myexe", NO),
            ("proc.aname[0] = myexe", YES),
            ("proc.aname[1] = bash", YES),
            ("proc.aname[9] = init", NO),
            ("proc.aname in (x, good-exe)", YES),
            ("proc.aname startswith good", YES),
            ("proc.aname contains xxx", NO),
            ("proc.aname != bash", YES),
            ("not proc.aname = bash", NO),
            ("proc.aname exists", YES),
            ("proc.pname = bash", YES),
            ("proc.name bcontains 6d79", ERROR),
            ("proc.name = \"\\x00\"", ERROR),
            ("proc.name[1] = x", ERROR),
            ("evt.type = nosuch", ERROR),
            ("evt.type in (execve, nosuch)", ERROR),
            ("evt.type in ()", NO),
            ("evt.arg.nosuch = x", ERROR),
            ("evt.arg = x", ERROR),
            ("evt.arg[0] exists", NO),
            ("proc.aname[x] = y", ERROR),
            ("proc.env[HOME] exists", NO),
            ("nosuch.field = x", ERROR),
        ],
    );
}

#[test]
fn options_of_command_lines() {
    let event = event(&[("evt.type", "execve"), ("proc.name", "nc")], &[]);
    all(
        &event,
        &[
            ("getopt((\"-nx\"), \"n\") intersects (\"x\")", NO),
            ("getopt((\"-n\", \"-t\", \"hello\"), \"nt:\")[t] = hello", YES),
            ("getopt((\"-n\", \"-t\", \"hello\"), \"nt:\")[n] = n", YES),
            ("getopt((\"-n\"), \"nt:\")[t] = \"\"", NO),
            ("getopt((\"-n\"), \"nt:\")[t] exists", NO),
            ("getopt((\"-t\"), \":t:\")[t] = \"\"", YES),
            ("getopt((\"-t\", \"v1\", \"-t\", \"v2\"), \"t:\")[t] = v2", YES),
            (
                "getopt((\"-t\", \"v1\", \"-t\", \"v2\"), \"t:\") intersects (\"v1\")",
                YES,
            ),
            ("getopt((\"--exec\"), \"e\") intersects (\"e\")", NO),
            (
                "getopt((\"-lpe\", \"/bin/sh\"), \"lp:e:\") intersects (\"/bin/sh\")",
                NO,
            ),
            ("getopt((\"-lpe\", \"/bin/sh\"), \"lp:e:\")[p] = e", YES),
            ("getopt((\"-t\", \"--\"), \"t:\")[t] = --", YES),
            ("getopt((\"-t\", \"-n\"), \"t:n\") intersects (\"n\")", NO),
            ("getopt((\"-n\"), \"n\") in (\"n\")", YES),
            ("getopt((\"-n\"), \"n\") = n", ERROR),
            ("getopt((), \"n\") intersects (\"n\")", NO),
            ("len(getopt((\"-n\", \"-t\"), \"nt\")) = 2", YES),
            ("getopt(\"-n\", \"n\") intersects (\"n\")", ERROR),
        ],
    );
}

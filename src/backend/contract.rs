//! What every backend promises, as tests that each implementation has to pass.

use super::interface::{Backend, Change as _, Committed, DiffOptions, Look, Snapshot as _};
use super::{Heard, ReconcileOptions, WatchRules, reconcile};
use crate::net::{ChainName, Family};
use crate::rules::tests::policy;
use crate::rules::{Layout, Protection, Rule, Ruleset, Verdict, compile};

/// What other processes do to the rules, as far as the changes of the backend cannot express it.
pub(crate) trait Others: Backend {
    /// How many elements one commit adds at most.
    const PART: usize;
    /// From how many elements on a list is long.
    const LONG: usize;

    /// Removes all tables that are not owned by another process.
    fn empty(&mut self);

    /// Adds a rule of another process that jumps to this chain of the shared table, or removes it.
    fn jump_to(&mut self, chain: &ChainName, jumps: bool);

    /// Replaces one element of the only list in the table of our own with another.
    fn exchange_an_element(&mut self);
}

type Case<B> = fn(&dyn Fn() -> B);

/// Tries everything. `make` gives access to the rules, which are empty at the beginning of each test.
pub(crate) fn contract<B: Others>(make: &dyn Fn() -> B) {
    let cases: [(&str, Case<B>); 14] = [
        ("what is committed is read back, and nothing is left to do", committed_is_read_back),
        ("a change is carried out as a whole or not at all", all_or_nothing),
        ("a change made from an old reading is stale and changes nothing", stale),
        ("a probe changes nothing and is heard by nobody", probe),
        ("a probe finds what a commit would be refused for", refused_probe),
        ("a token is current until anybody commits", token),
        ("what is at hand is what was settled, until anybody commits", at_hand),
        ("commits of others are heard, and our own are not", heard),
        ("a chain that others jump to is emptied and left, and goes once they do not", in_use),
        ("a table that another process owns is a conflict that ends with it", owned),
        ("a large set comes and goes in parts, in as many as was said at most", parts),
        ("what was begun and not brought to an end is taken back", taken_back),
        ("a quick look assumes long lists and says so, and a thorough one reads them", looks),
        ("rules that stand are left as they are where that is asked for", left_standing),
    ];
    for (what, case) in cases {
        println!("{what}");
        make().empty();
        case(make);
        make().empty();
    }
}

const LAYOUTS: [Layout; 3] =
    [Layout::IptablesNat, Layout::OwnTable(Protection::Off), Layout::OwnTable(Protection::OwnerPersist)];

const OWN: Layout = Layout::OwnTable(Protection::Off);

fn rules(layout: Layout, exempt: &[&str]) -> Ruleset {
    compile(&policy(exempt, ""), layout)
}

/// This many addresses of which no two touch.
fn many(layout: Layout, count: usize) -> Ruleset {
    let addresses: Vec<String> =
        (0..count).map(|number| format!("10.{}.{}.0/30", number / 64, number % 64 * 4)).collect();
    rules(layout, &addresses.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Rules that no kernel accepts, behind some that it does.
fn broken(layout: Layout) -> Ruleset {
    let mut ruleset = rules(layout, &["10.0.0.0/8"]);
    let chain = ruleset.tables.last_mut().and_then(|table| table.chains.last_mut()).unwrap();
    chain.rules.push(Rule::new(Vec::new(), None, Verdict::Jump("MISSING".to_owned())));
    ruleset
}

fn read<B: Backend>(backend: &mut B) -> B::Snapshot {
    backend.read(&ChainName::default(), Look::Thorough).unwrap()
}

fn diff<B: Backend>(backend: &B, want: &Ruleset, have: &B::Snapshot) -> B::Change {
    let difference = backend.diff(want, have, &DiffOptions::default());
    assert_eq!((difference.conflicts, difference.leftovers), (Vec::new(), Vec::new()));
    difference.change
}

/// Whether nothing is left to do, as seen over another connection.
fn is_in_force<B: Backend>(make: &dyn Fn() -> B, want: &Ruleset) -> bool {
    let mut another = make();
    let have = read(&mut another);
    diff(&another, want, &have).is_empty()
}

fn apply<B: Backend>(backend: &mut B, want: &Ruleset) {
    reconcile(backend, want, &ReconcileOptions::default()).unwrap();
}

fn nothing() -> Ruleset {
    Ruleset::nothing(ChainName::default())
}

fn committed_is_read_back<B: Others>(make: &dyn Fn() -> B) {
    for layout in LAYOUTS {
        for exempt in [&["10.0.0.0/8", "fd00::/8"][..], &["10.0.0.0/8", "11.0.0.0/16", "fc00::/9"], &[]] {
            let want = rules(layout, exempt);
            let mut backend = make();
            let mut commits = 0;
            loop {
                let have = read(&mut backend);
                let change = diff(&backend, &want, &have);
                if change.is_empty() {
                    break;
                }
                let followed = change.is_followed();
                let committed = if followed { Committed::More } else { Committed::Done };
                assert_eq!(backend.commit(&change, have).unwrap(), committed);
                commits += 1;
                assert!(commits < 10, "{change_lines:?}", change_lines = change.lines());
            }
            assert!(commits > 0);
            drop(backend);
            assert!(is_in_force(make, &want), "{layout} {exempt:?}");
        }
    }
}

fn all_or_nothing<B: Others>(make: &dyn Fn() -> B) {
    for layout in LAYOUTS {
        let mut backend = make();
        let have = read(&mut backend);
        let token = have.token();
        let change = diff(&backend, &broken(layout), &have);
        let error = backend.commit(&change, have).unwrap_err();
        assert!(error.is_unsupported(), "{error}");
        assert!(backend.is_current(token).unwrap(), "nothing is committed");
        let have = read(&mut backend);
        assert_eq!(have.token(), token);
        assert!(diff(&backend, &nothing(), &have).is_empty(), "{layout}: something is left");
    }
}

fn stale<B: Others>(make: &dyn Fn() -> B) {
    for layout in LAYOUTS {
        let (mut ours, mut other) = (make(), make());
        let have = read(&mut ours);
        let change = diff(&ours, &rules(layout, &["10.0.0.0/8"]), &have);
        let theirs = rules(Layout::IptablesNat, &["20.0.0.0/8"]);
        apply(&mut other, &theirs);
        assert_eq!(ours.commit(&change, have).unwrap(), Committed::Stale);
        assert!(is_in_force(make, &theirs), "{layout}");
        other.empty();
    }
}

fn probe<B: Others>(make: &dyn Fn() -> B) {
    for layout in LAYOUTS {
        let (mut ours, mut another) = (make(), make());
        let mut source = another.watch(WatchRules::Notify).unwrap().unwrap();
        let have = read(&mut ours);
        let change = diff(&ours, &rules(layout, &["10.0.0.0/8"]), &have);
        ours.probe(&change).unwrap();
        assert!(ours.is_current(have.token()).unwrap(), "{layout}");
        let mut heard = Heard::default();
        assert!(source.listen(&mut heard).unwrap());
        assert_eq!(heard, Heard::default(), "{layout}");
        assert!(is_in_force(make, &nothing()), "{layout}");
        assert!(matches!(ours.commit(&change, have), Ok(Committed::Done | Committed::More)), "and it can be committed");
        drop(ours);
        make().empty();
    }
}

fn refused_probe<B: Others>(make: &dyn Fn() -> B) {
    for layout in LAYOUTS {
        let mut backend = make();
        let have = read(&mut backend);
        let change = diff(&backend, &broken(layout), &have);
        let error = backend.probe(&change).unwrap_err();
        assert!(error.is_unsupported(), "{error}");
        assert!(backend.is_current(have.token()).unwrap(), "{layout}");
    }
}

fn token<B: Others>(make: &dyn Fn() -> B) {
    let (mut ours, mut other) = (make(), make());
    let first = read(&mut ours).token();
    assert!(ours.is_current(first).unwrap() && other.is_current(first).unwrap());
    apply(&mut other, &rules(OWN, &["10.0.0.0/8"]));
    assert!(!ours.is_current(first).unwrap() && !other.is_current(first).unwrap());
    let second = read(&mut ours).token();
    assert_eq!(second, read(&mut other).token());
    apply(&mut ours, &nothing());
    assert!(!ours.is_current(second).unwrap());
}

fn at_hand<B: Others>(make: &dyn Fn() -> B) {
    let (mut ours, mut other) = (make(), make());
    let want = rules(OWN, &["10.0.0.0/8"]);
    assert!(ours.begin().unwrap().is_none(), "nothing was read");
    apply(&mut ours, &want);
    if let Some(have) = ours.begin().unwrap() {
        assert_eq!(have.token(), read(&mut other).token());
        assert!(diff(&ours, &want, &have).is_empty());
        ours.settle(have);
    }
    apply(&mut other, &rules(Layout::IptablesNat, &["10.0.0.0/8"]));
    assert!(ours.begin().unwrap().is_none(), "somebody has committed");
}

fn heard<B: Others>(make: &dyn Fn() -> B) {
    // Who committed is announced, and cannot be asked for.
    for (how, names) in [("notify", 1), ("poll=1h", 0)] {
        let (mut ours, mut other) = (make(), make());
        ours.empty();
        let mut source = ours.watch(how.parse().unwrap()).unwrap().unwrap();
        let mut heard = Heard::default();
        for exempt in [&["10.0.0.0/8"][..], &["10.0.0.0/8", "20.0.0.0/8"]] {
            apply(&mut ours, &rules(OWN, exempt));
            assert!(!source.is_due(), "{how}");
            assert!(source.listen(&mut heard).unwrap());
            assert!(!heard.is_something(), "{how}: {heard:?}");
        }
        apply(&mut other, &rules(OWN, &["10.0.0.0/8", "30.0.0.0/8"]));
        assert!(source.listen(&mut heard).unwrap());
        assert_eq!((heard.commits, heard.lost, heard.processes.len()), (1, false, names), "{how}: {heard:?}");
        assert!(ours.watch(WatchRules::Off).unwrap().is_none());
    }
}

fn in_use<B: Others>(make: &dyn Fn() -> B) {
    let (mut ours, mut other) = (make(), make());
    let chain = ChainName::default();
    apply(&mut ours, &rules(Layout::IptablesNat, &["10.0.0.0/8"]));
    other.jump_to(&chain, true);
    for changes in [6, 0] {
        let outcome = reconcile(&mut ours, &nothing(), &ReconcileOptions::default()).unwrap();
        let left: Vec<&str> = outcome.in_use.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(left, [format!("- ip nat chain {chain}")]);
        assert!(outcome.changes.len() <= changes, "{outcome:?}");
        assert_eq!((outcome.restarts, outcome.failures), (0, Vec::new()));
    }
    // If it is desired again, it is filled.
    let want = rules(Layout::IptablesNat, &["20.0.0.0/8"]);
    apply(&mut ours, &want);
    assert!(is_in_force(make, &want));
    other.jump_to(&chain, false);
    let outcome = reconcile(&mut ours, &nothing(), &ReconcileOptions::default()).unwrap();
    assert_eq!(outcome.in_use, []);
    assert!(is_in_force(make, &nothing()));
}

fn owned<B: Others>(make: &dyn Fn() -> B) {
    let (mut owner, mut other) = (make(), make());
    let hold = ReconcileOptions { hold: true, ..ReconcileOptions::default() };
    let layout = Layout::OwnTable(Protection::OwnerPersist);
    let [theirs, ours] = [["10.0.0.0/8", "fd00::/8"], ["20.0.0.0/8", "fc00::/8"]].map(|exempt| rules(layout, &exempt));
    reconcile(&mut owner, &theirs, &hold).unwrap();
    let have = read(&mut other);
    let difference = other.diff(&ours, &have, &DiffOptions { hold: true, ..DiffOptions::default() });
    assert!(difference.change.is_empty() && difference.conflicts.len() == Family::ALL.len(), "both are owned");
    for conflict in &difference.conflicts {
        let table = conflict.owned_by_another().unwrap();
        assert!(other.is_owned_by_another(table).unwrap() && !owner.is_owned_by_another(table).unwrap());
        assert!(conflict.is_transient() && !conflict.is_of_the_layout());
    }
    let error = reconcile(&mut other, &ours, &hold).unwrap_err();
    assert!(error.owned_by_another().is_some() && error.is_transient(), "{error}");
    assert!(is_in_force(make, &theirs), "another can read it");
    drop(owner);
    for conflict in &difference.conflicts {
        assert!(!other.is_owned_by_another(conflict.owned_by_another().unwrap()).unwrap());
    }
    assert!(is_in_force(make, &theirs), "it outlives its owner");
    reconcile(&mut other, &ours, &hold).unwrap();
    assert!(is_in_force(make, &ours));
}

fn parts<B: Others>(make: &dyn Fn() -> B) {
    let mut backend = make();
    let large = many(OWN, 3 * B::PART + 1);
    for want in [large, rules(OWN, &["192.0.2.0/24"]), nothing()] {
        let mut most = None;
        let mut parts = 0;
        loop {
            let have = read(&mut backend);
            let difference = backend.diff(&want, &have, &DiffOptions::default());
            let most = *most.get_or_insert(difference.parts);
            if difference.change.is_empty() {
                break;
            }
            let committed = backend.commit(&difference.change, have).unwrap();
            parts += usize::from(committed == Committed::More);
            assert!(parts <= most + 2, "{parts} parts, and at most {most}");
        }
        assert!(parts > 3 || want == nothing(), "{parts}");
        assert!(is_in_force(make, &want));
    }
}

fn taken_back<B: Others>(make: &dyn Fn() -> B) {
    let mut backend = make();
    let mut want = many(OWN, 3 * B::PART + 1);
    // What is small is in force at once.
    want.tables.retain(|table| table.id.family == Family::Ipv4);
    for _ in 0..2 {
        let have = read(&mut backend);
        let change = diff(&backend, &want, &have);
        assert_eq!(backend.commit(&change, have).unwrap(), Committed::More);
    }
    backend.take_back(&ChainName::default());
    let have = read(&mut backend);
    assert!(diff(&backend, &nothing(), &have).is_empty());
    // The rules in force stay.
    let want = rules(OWN, &["10.0.0.0/8"]);
    apply(&mut backend, &want);
    backend.take_back(&ChainName::default());
    assert!(is_in_force(make, &want));
}

fn looks<B: Others>(make: &dyn Fn() -> B) {
    let (mut ours, mut other) = (make(), make());
    let want = many(OWN, B::LONG + 10);
    apply(&mut ours, &want);
    assert!(ours.has_long_lists());
    other.exchange_an_element();
    let mut look = |look| {
        let have = ours.read(&ChainName::default(), look).unwrap();
        (have.is_partly_assumed(), diff(&ours, &want, &have).is_empty())
    };
    assert_eq!(look(Look::Quick), (true, true), "as many, and not looked at");
    assert_eq!(look(Look::Thorough), (false, false));
    assert_eq!(look(Look::Fresh), (false, false));
    let quick = ReconcileOptions { look: Look::Quick, ..ReconcileOptions::default() };
    let outcome = reconcile(&mut make(), &want, &quick).unwrap();
    assert!(!outcome.changes.is_empty(), "who has read nothing assumes nothing");
    assert!(is_in_force(make, &want));
}

fn left_standing<B: Others>(make: &dyn Fn() -> B) {
    for layout in LAYOUTS {
        let mut backend = make();
        let (standing, want) = (rules(layout, &["10.0.0.0/8"]), rules(layout, &["20.0.0.0/8"]));
        let keep = DiffOptions { keep_standing: &[Family::Ipv4], ..DiffOptions::default() };
        let have = read(&mut backend);
        assert_eq!(backend.diff(&want, &have, &keep).left_standing, [], "{layout}: nothing stands");
        apply(&mut backend, &standing);
        let have = read(&mut backend);
        let difference = backend.diff(&want, &have, &keep);
        assert_eq!(difference.left_standing, [Family::Ipv4], "{layout}");
        assert!(difference.change.lines().iter().all(|line| line.family == Family::Ipv6), "{layout}");
        drop(backend);
        make().empty();
    }
}

//! One disk, some power cuts, one check.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bbq_client::{Profile, Transport, proto};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::disk::Disk;
use crate::fault::{Fault, Plant};
use crate::history::{Event, VIOLATIONS};
use crate::mount::Mounted;
use crate::rig::{DIFFERS, REFUSED, Rig, THERE_AGAIN, until_it_answers};
use crate::support::notices::notice;
use crate::support::server::GREETING;
use crate::support::{LONG, Process, within};

/// Power cuts between one drain with its check and the next: the history of a run is kept in memory.
pub const ROUNDS_A_RUN: u64 = 10;

/// A disk and what happens to it.
pub struct Run {
    rng: StdRng,
    plant: Plant,
    /// How long every sync takes.
    pub slow: Duration,
    pub rig: Rig,
    at: PathBuf,
    disk: Option<Disk>,
    _directory: TempDir,
}

/// Whether a panic says that something was found, and not that the rig itself failed.
pub fn is_a_finding(panic: &str) -> bool {
    let refused = panic.strip_prefix(REFUSED).is_some_and(|why| {
        why.starts_with("error: ") && (why.contains(" is damaged at byte ") || why.contains(": state in "))
    });
    refused || [DIFFERS, THERE_AGAIN].iter().any(|says| panic.starts_with(says)) || panic.contains(VIOLATIONS)
}

/// Whether file systems may be mounted here; if not, says so where it is seen.
pub fn mounting_is_allowed() -> bool {
    let directory = tempfile::tempdir().unwrap();
    let Err(error) = Mounted::new(Disk::default(), directory.path()) else { return true };
    notice(&format!(
        "power cuts: a FUSE file system can't be mounted here ({error}); run as root with /dev/fuse"
    ));
    false
}

impl Run {
    pub fn new(seed: u64, plant: Plant) -> Self {
        let directory = tempfile::Builder::new().prefix("bbq-powerloss-").tempdir().unwrap();
        let at = directory.path().join("disk");
        std::fs::create_dir(&at).unwrap();
        let rig = Rig::new(&at.join("data"), directory.path());
        eprintln!("seed {seed}");
        let rng = StdRng::seed_from_u64(seed);
        Self { rng, plant, slow: Duration::ZERO, rig, at, disk: Some(Disk::default()), _directory: directory }
    }

    /// So many power cuts, then the check.
    pub async fn rounds(&mut self, rounds: u64) {
        for _ in 0..rounds {
            self.round().await;
        }
        let mounted = self.mount();
        self.rig.check(&mut self.rng).await;
        // Not what is left, but all of it: the server was killed, and the power stayed on.
        self.disk = Some(mounted.unmounted());
    }

    /// Load without a power cut, in which so many publishes are confirmed one after the other, and then the check.
    pub async fn undisturbed(&mut self, publishes: u32) {
        let mounted = self.mount();
        let mut server = self.rig.start(&mut self.rng).await;
        self.rig.create_queues(&server.client_over(Transport::Http2).await).await.unwrap();
        let mut tasks = self.everybody(&server.profile());
        let client = server.client_over(Transport::Http2).await;
        client.create_queue("slow", proto::QueueSettings::default()).await.unwrap();
        for n in 0..publishes {
            within("a publish on a slow disk", client.publish("slow", n.to_string())).await.unwrap();
            let taken = client.receive("slow", 1, LONG, None);
            let taken = within("its delivery", taken).await.unwrap().remove(0);
            within("its ack", taken.ack()).await.unwrap();
        }
        assert!(mounted.disk().tally.syncs > u64::from(publishes), "each needs one of its own");
        mounted.slow(Duration::ZERO);
        server.kill().await;
        tasks.shutdown().await;
        self.rig.load.witness.record(Event::Down);
        self.rig.compare(&server.log());
        self.rig.check(&mut self.rng).await;
        drop(mounted);
    }

    fn mount(&mut self) -> Mounted {
        let mut disk = self.disk.take().expect("it is not in use");
        disk.plant = self.plant;
        let mounted = Mounted::new(disk, &self.at).expect("it could be mounted before");
        mounted.slow(self.slow);
        mounted
    }

    /// A start, some load, and the power goes: at a moment, or at an operation, which may be one of the start.
    pub async fn round(&mut self) {
        let mounted = self.mount();
        let moment = if self.rng.random_bool(0.5) {
            let most = 10_u64 << self.rng.random_range(0..10);
            mounted.disk().cut_after(self.rng.random_range(1..=most));
            Duration::from_secs(3)
        } else {
            Duration::from_millis(self.rng.random_range(20..2000))
        };
        let setup = self.rig.setup(&mut self.rng);
        let mut process = setup.spawn();
        let mut tasks = self.until_gone(&mounted, &mut process, moment).await;
        process.signal(Signal::KILL);
        mounted.let_go();
        process.ended().await;
        tasks.shutdown().await;
        self.rig.load.witness.record(Event::PowerCut);
        self.rig.compare(&process.stderr.now());
        self.disk = Some(mounted.remains(&mut self.rng));
    }

    /// A start, some load, and then a fault, with which the server must end by itself and say why. What comes next is a start
    /// without it, after a power cut or not: then the kernel still shows what the disk never got, and whoever goes on behind that
    /// loses it in the next one.
    pub async fn broken(&mut self, fault: Fault, says: &str) {
        let mounted = self.mount();
        let mut server = self.rig.start(&mut self.rng).await;
        let profile = server.profile();
        self.rig.create_queues(&server.client_over(Transport::Http2).await).await.unwrap();
        let mut tasks = self.everybody(&profile);
        tokio::time::sleep(Duration::from_millis(self.rng.random_range(50..500))).await;
        mounted.disk().faults.push(fault);
        assert_eq!(server.process.ended().await.code(), Some(1), "{}", server.log());
        tasks.shutdown().await;
        self.rig.load.witness.record(Event::Down);
        let log = server.log();
        let why = log.lines().last().unwrap();
        assert!(!log.contains("panicked at"), "{log}");
        assert!(why.starts_with("error: ") && why.contains(says) && why.contains("data"), "{log}");
        assert!(mounted.disk().tally.faults > 0, "it ended by itself: {log}");
        self.rig.compare(&log);
        if self.rng.random() {
            mounted.disk().faults.clear();
            let mut again = self.rig.start(&mut self.rng).await;
            let mut tasks = self.everybody(&again.profile());
            tokio::time::sleep(Duration::from_millis(self.rng.random_range(50..500))).await;
            again.kill().await;
            tasks.shutdown().await;
            self.rig.compare(&again.log());
        }
        self.rig.load.witness.record(Event::PowerCut);
        self.disk = Some(mounted.remains(&mut self.rng));
    }

    /// A start in which a fault strikes, or which is over before. The server ends and says why; what comes next is a start without it.
    /// Whether it struck.
    pub async fn broken_at_start(&mut self, fault: Fault) -> bool {
        let mounted = self.mount();
        mounted.disk().faults.push(fault);
        let mut process = self.rig.setup(&mut self.rng).spawn();
        let answers = process.stdout.comes(GREETING).await;
        let struck = mounted.disk().tally.faults > 0;
        if answers {
            process.signal(Signal::KILL);
        }
        let code = process.ended().await.code();
        let log = process.stderr.now();
        assert!(!log.contains("panicked at"), "{log}");
        if !answers {
            let why = log.lines().last().unwrap_or_default();
            assert!(struck && code == Some(1) && why.starts_with("error: "), "{fault:?}, {code:?}: {log}");
            assert!(why.contains("Input/output error") && why.contains("data"), "{fault:?}: {log}");
        }
        self.rig.compare(&log);
        mounted.disk().faults.clear();
        self.rig.load.witness.record(Event::PowerCut);
        self.disk = Some(mounted.remains(&mut self.rng));
        struck
    }

    /// Producers, consumers and keepers, over both transports.
    fn everybody(&mut self, profile: &Profile) -> JoinSet<()> {
        let Self { rig, rng, .. } = self;
        let mut tasks = rig.load.start_clients(profile, &[Transport::Http3, Transport::Http2], rng);
        rig.load.start_keepers(profile, rng, &mut tasks);
        tasks
    }

    /// Makes load as soon as the server answers, until the power goes.
    async fn until_gone(
        &mut self,
        mounted: &Mounted,
        process: &mut Process,
        moment: Duration,
    ) -> JoinSet<()> {
        let mut gone = std::pin::pin!(async {
            if tokio::time::timeout(moment, mounted.until_cut()).await.is_err() {
                mounted.cut();
            }
        });
        let profile = async {
            until_it_answers(process).await;
            profile(&self.at.join("data")).await
        };
        let profile = tokio::select! {
            () = &mut gone => return JoinSet::new(),
            profile = profile => profile,
        };
        let client = bbq_client::Client::connect_lazily(&profile).unwrap();
        tokio::select! {
            () = &mut gone => return JoinSet::new(),
            made = self.rig.create_queues(&client) => made.unwrap(),
        }
        let tasks = self.everybody(&profile);
        gone.await;
        tasks
    }
}

/// The admin's profile. It is read by a thread that may wait for ever.
async fn profile(data: &Path) -> Profile {
    let path = data.join("client.toml");
    let read = tokio::task::spawn_blocking(move || Profile::load(path).expect("the server wrote it"));
    Profile { transport: Transport::Http2, ..read.await.expect("it is read, or waits") }
}

//! PostgreSQL: a table, INSERT of up to 256 rows a statement, DELETE with FOR UPDATE SKIP LOCKED.
//!
//! Decides: a message is leased by the lock of an open transaction and acked by its commit, which is fsynced
//! (`synchronous_commit`). A consumer that found nothing asks again after two milliseconds.

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;
use tokio::process::Command;
use tokio::time::sleep;
use tokio_postgres::{Client, NoTls, Statement};

use crate::peer::{self, Peer};
use crate::process::{Process, free_port};
use crate::run::{Run, Times, times};

const POLL: Duration = Duration::from_millis(2);
const SETTINGS: [&str; 8] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "fsync=on",
    "synchronous_commit=on",
    "full_page_writes=on",
    // The default of 128 MiB and 1 GiB is made for the smallest machine it runs on.
    "shared_buffers=512MB",
    "max_wal_size=4GB",
    "max_connections=200",
];

/// A running server.
pub struct Postgres {
    process: Process,
    port: u16,
}

/// A connection that inserts.
pub struct Producer {
    client: Client,
    insert: Statement,
}

/// A connection that deletes.
pub struct Consumer {
    client: Client,
    take: Statement,
    window: u16,
}

impl Postgres {
    /// Makes a cluster in `directory` and starts `program` on it, as the user `postgres` where this one is root.
    pub async fn start(program: &Path, directory: &Path) -> Result<Self> {
        let data = directory.join("data");
        std::fs::create_dir(&data)?;
        std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755))?;
        let user = if rustix::process::geteuid().is_root() { Some(user("postgres")?) } else { None };
        if let Some((uid, gid)) = user {
            chown(&data, Some(uid), Some(gid)).context("the data directory can't be given to postgres")?;
        }
        let as_user = |command: &mut Command| {
            if let Some((uid, gid)) = user {
                command.uid(uid).gid(gid);
            }
            command.current_dir(&data);
        };
        let mut command = Command::new(program.with_file_name("initdb"));
        command.args(["--auth=trust", "--username=bench", "--encoding=UTF8", "--locale=C", "-D"]).arg(&data);
        as_user(&mut command);
        let made = command.output().await.context("initdb can't be run")?;
        if !made.status.success() {
            bail!("initdb failed: {}", String::from_utf8_lossy(&made.stderr).trim());
        }
        let port = free_port()?;
        let mut command = Command::new(program);
        command.arg("-D").arg(&data).args(["-p", &port.to_string()]);
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        as_user(&mut command);
        let process = Process::start("postgres", command, directory, port).await?;
        let postgres = Self { process, port };
        let made = "CREATE TABLE queue (id bigserial PRIMARY KEY, body bytea NOT NULL)";
        postgres.connect().await?.batch_execute(made).await?;
        Ok(postgres)
    }

    async fn connect(&self) -> Result<Client> {
        let settings = format!("host=127.0.0.1 port={} user=bench dbname=postgres", self.port);
        let mut tries = 0;
        let (client, connection) = loop {
            // It listens a moment before it takes connections.
            match tokio_postgres::connect(&settings, NoTls).await {
                Ok(connected) => break connected,
                Err(_) if tries < 100 => tries += 1,
                Err(error) => return Err(error).context("PostgreSQL takes no connection"),
            }
            sleep(Duration::from_millis(100)).await;
        };
        // It ends with the client; an error shows in the client's next call.
        tokio::spawn(connection);
        Ok(client)
    }
}

/// The ids of a user and its group.
fn user(name: &str) -> Result<(u32, u32)> {
    let users = std::fs::read_to_string("/etc/passwd").context("/etc/passwd can't be read")?;
    let fields = users.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let mut fields = fields.with_context(|| format!("there is no user {name}"))?.split(':').skip(1);
    let (uid, gid) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
    Ok((uid.parse()?, gid.parse()?))
}

impl Peer for Postgres {
    type Producer = Producer;
    type Consumer = Consumer;

    async fn producer(&self) -> Result<Producer> {
        let client = self.connect().await?;
        let insert = client.prepare("INSERT INTO queue (body) SELECT unnest($1::bytea[])").await?;
        Ok(Producer { client, insert })
    }

    async fn consumer(&self, window: u16) -> Result<Consumer> {
        let client = self.connect().await?;
        let take = "DELETE FROM queue WHERE id = ANY(ARRAY(SELECT id FROM queue ORDER BY id LIMIT $1 \
                    FOR UPDATE SKIP LOCKED)) RETURNING body";
        let take = client.prepare(take).await?;
        Ok(Consumer { client, take, window })
    }

    async fn left(&self) -> Result<u64> {
        let row = self.connect().await?.query_one("SELECT count(*) FROM queue", &[]).await?;
        Ok(u64::try_from(row.get::<_, i64>(0))?)
    }

    async fn end(self) -> Result<()> {
        // PostgreSQL's fast shutdown: it does not wait for connections.
        self.process.end(Signal::INT).await
    }
}

impl peer::Producer for Producer {
    const BATCH: u16 = 256;

    async fn publish(&self, bodies: Vec<Vec<u8>>) -> Result<()> {
        self.client.execute(&self.insert, &[&bodies]).await?;
        Ok(())
    }
}

impl peer::Consumer for Consumer {
    async fn consume(self, run: Arc<Run>) -> Result<Times> {
        let mut times = times()?;
        let most = i64::from(self.window.min(256));
        self.client.batch_execute("BEGIN").await?;
        while !run.is_done() {
            let rows = self.client.query(&self.take, &[&most]).await?;
            if rows.is_empty() {
                sleep(POLL).await;
                continue;
            }
            for row in &rows {
                run.received(row.get(0), &mut times)?;
            }
            // One round trip for the end of this lease and the beginning of the next.
            self.client.batch_execute("COMMIT; BEGIN").await?;
        }
        self.client.batch_execute("COMMIT").await?;
        Ok(times)
    }
}

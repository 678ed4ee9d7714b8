//! Apache Kafka of the test's own, two brokers, which may be killed and started again. From the files that
//! `tests/services` keeps in its cache.

use lake::kafka::KafkaConfig;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Any 16 bytes in base64 name a cluster.
const CLUSTER: &str = "AAAAAAAAQACAAAAAAAAAAg";

struct Node {
    folder: PathBuf,
    port: u16,
    process: Child,
}

/// The first broker is the controller too. Ends with this value.
pub struct Cluster {
    libs: PathBuf,
    nodes: Vec<Node>,
    _folder: tempfile::TempDir,
}

impl Cluster {
    /// `None`, after saying so, where Kafka is not at hand as files.
    pub fn start(test: &str) -> Option<Cluster> {
        let Some(libs) = libs() else {
            super::left_out(&format!("{test} needs the files of Apache Kafka; tests/run fetches them"));
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let controller = free_port();
        let nodes = (0..2).map(|number| Node::start(&libs, folder.path(), number, controller)).collect();
        let cluster = Cluster { libs, nodes, _folder: folder };
        cluster.nodes.iter().for_each(Node::await_port);
        Some(cluster)
    }

    pub fn brokers(&self) -> String {
        let addresses: Vec<String> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        addresses.join(",")
    }

    pub fn kill(&mut self, node: usize) {
        self.nodes[node].process.kill().unwrap();
        self.nodes[node].process.wait().unwrap();
    }

    pub fn start_again(&mut self, node: usize) {
        self.nodes[node].process = run(&self.libs, &self.nodes[node].folder);
        self.nodes[node].await_port();
    }

    /// On both brokers; one in sync is enough.
    pub fn make_topic(&self, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", self.brokers()).create().unwrap();
        let patience = Some(Duration::from_secs(30));
        let options = AdminOptions::new().request_timeout(patience).operation_timeout(patience);
        let mut wanted = NewTopic::new(topic, partitions, TopicReplication::Fixed(2));
        for (key, value) in settings {
            wanted = wanted.set(key, value);
        }
        let made = futures::executor::block_on(admin.create_topics([&wanted], &options)).unwrap();
        made.into_iter().for_each(|answer| drop(answer.unwrap()));
        // Metadata may lag behind the answer.
        let kafka = KafkaConfig { brokers: self.brokers(), ..KafkaConfig::default() };
        lake::kafka::admin::ensure_topic(&kafka, topic, partitions).unwrap();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            drop(node.process.kill());
            drop(node.process.wait());
        }
    }
}

impl Node {
    fn start(libs: &Path, folder: &Path, number: usize, controller: u16) -> Node {
        let (folder, port, id) = (folder.join(number.to_string()), free_port(), number + 1);
        std::fs::create_dir_all(&folder).unwrap();
        let (roles, own) = match number {
            0 => ("broker,controller", format!(",CONTROLLER://127.0.0.1:{controller}")),
            _ => ("broker", String::new()),
        };
        let properties = format!(
            "process.roles={roles}\nnode.id={id}\ncontroller.quorum.voters=1@127.0.0.1:{controller}\n\
             controller.listener.names=CONTROLLER\nlisteners=PLAINTEXT://127.0.0.1:{port}{own}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
             log.dirs={}\noffsets.topic.replication.factor=1\ntransaction.state.log.replication.factor=1\n\
             transaction.state.log.min.isr=1\nmin.insync.replicas=1\nauto.create.topics.enable=false\n\
             broker.session.timeout.ms=3000\nbroker.heartbeat.interval.ms=500\nlog.cleaner.backoff.ms=200\n",
            folder.join("log").display()
        );
        std::fs::write(folder.join("server.properties"), properties).unwrap();
        let mut format = java(libs, &folder);
        format.args(["kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c"]).arg(folder.join("server.properties"));
        assert!(format.status().unwrap().success(), "Kafka's storage could not be formatted");
        let process = run(libs, &folder);
        Node { folder, port, process }
    }

    fn await_port(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let log = || std::fs::read_to_string(self.folder.join("server.log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "Kafka does not open its port:\n{}", log());
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn run(libs: &Path, folder: &Path) -> Child {
    java(libs, folder).arg("kafka.Kafka").arg(folder.join("server.properties")).spawn().unwrap()
}

fn java(libs: &Path, folder: &Path) -> Command {
    let log = std::fs::File::options().create(true).append(true).open(folder.join("server.log")).unwrap();
    let mut java = Command::new("java");
    java.args(["-Xmx384m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", &format!("{}/*", libs.display())]);
    java.stdin(Stdio::null()).stderr(log.try_clone().unwrap()).stdout(log);
    java
}

/// Where `tests/services` keeps Kafka's jars.
fn libs() -> Option<PathBuf> {
    let folder = |name: &str, below: &str| std::env::var_os(name).map(|folder| Path::new(&folder).join(below));
    let cache = folder("LAKE_SERVICES_CACHE", "")
        .or_else(|| folder("XDG_CACHE_HOME", "lake/services"))
        .or_else(|| folder("HOME", ".cache/lake/services"))?;
    let found = std::fs::read_dir(cache).ok()?.flatten().map(|entry| entry.path());
    let complete = |path: &PathBuf| path.join("complete").exists() && path.join("libs").exists();
    found.filter(complete).max().map(|path| path.join("libs"))
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

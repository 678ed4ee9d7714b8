//! The command line: arguments in, text out.
//!
//! One file per command, each with its `Args` and a `run` that wires configuration to a flow and turns the
//! report into an [`output::Answer`]. No command decides anything about data. To add one: a file, a variant
//! of [`Verb`], an arm in [`Verb::run`]. Only this module touches clap, stdout and stderr.

mod bronze;
mod columns;
mod connections;
mod demo;
mod doctor;
mod done;
mod evidence;
mod export;
mod failure;
mod functions;
mod graph;
mod init;
mod load;
mod maintain;
mod output;
mod plan;
mod produce;
mod promote;
mod quarantine;
mod query;
mod retry;
mod rows;
mod run;
mod screen;
mod signals;
mod slowest;
mod status;
mod telemetry;
mod test;
mod up;
mod verify;

use crate::config::{Config, Flag, project_root};
use crate::error::{Context, Error, Kind, Result};
use crate::flow::Stop;
use clap::{Args, CommandFactory, Parser, Subcommand};
use connections::Connections;
use output::{Answer, Format, READER_GONE};
use screen::{Detail, Screen};
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Planning a deep SQL statement in a dev build needs more than a thread's usual 2 MB.
const STACK_BYTES: usize = 8 << 20;

/// Files through Kafka into Bronze, Silver and Gold Delta tables and on into Postgres, exactly once.
///
/// Nothing has to be installed: broker, lake and warehouse run embedded under the project's .lake/ unless
/// lake.toml, a LAKE__SECTION__KEY variable or a flag names real ones.
#[derive(Parser)]
#[command(name = "lake", bin_name = "lake", version, max_term_width = 100, after_help = AFTER_HELP)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Start here:
  lake demo                                      all of the road with the project's own data
  lake init shop --from any.csv && cd shop && lake run --once

Exit codes: 0 done; 1 bad data or a failed test; 2 usage; 69 a service is unreachable; 70 a fault of lake;
75 try again; 78 configuration; 130 and 143 stopped by a signal.";

#[derive(Args)]
struct Globals {
    /// The project's folder [default: the nearest one upwards with lake.toml, dbt_project.yml or models/]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Everywhere")]
    project: Option<PathBuf>,
    /// What stdout carries
    #[arg(long, global = true, value_enum, default_value_t, help_heading = "Everywhere")]
    output: Format,
    /// Kafka brokers, host:port[,host:port] [default: embedded]
    #[arg(long, global = true, value_name = "LIST", help_heading = "Everywhere")]
    brokers: Option<String>,
    /// Root of the lake: a folder, s3://bucket/prefix, gs:// or az:// [default: .lake/tables]
    #[arg(long, global = true, value_name = "ROOT", help_heading = "Everywhere")]
    lake: Option<String>,
    /// PostgreSQL, postgres://user@host:port/database [default: embedded]
    #[arg(long, global = true, value_name = "URL", help_heading = "Everywhere")]
    warehouse_url: Option<String>,
    /// Tell more; twice adds librdkafka's own lines
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Everywhere")]
    verbose: u8,
    /// Errors only
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = "Everywhere")]
    quiet: bool,
    /// Summary lines instead of bars
    #[arg(long, global = true, help_heading = "Everywhere")]
    no_progress: bool,
}

#[derive(Subcommand)]
enum Command {
    Init(init::Args),
    #[command(flatten)]
    Verb(Verb),
}

/// The commands that work in a project.
#[derive(Subcommand)]
enum Verb {
    Demo(demo::Args),
    Up(up::Args),
    Produce(produce::Args),
    Bronze(bronze::Args),
    Plan(plan::Args),
    Promote(promote::Args),
    Retry(retry::Args),
    Test(test::Args),
    LoadWarehouse(load::Args),
    Run(run::Args),
    Verify(verify::Args),
    Query(query::Args),
    Export(export::Args),
    Status(status::Args),
    Maintain(maintain::Args),
    Quarantine(quarantine::Args),
    Doctor(doctor::Args),
    Functions(functions::Args),
}

impl Verb {
    /// Settings given as flags of the command itself.
    fn flags(&self) -> Vec<Flag> {
        match self {
            Verb::Bronze(args) => args.flags(),
            Verb::Promote(args) => args.threads.flags(),
            Verb::Retry(args) => args.threads.flags(),
            Verb::Run(args) => args.threads.flags(),
            _ => Vec::new(),
        }
    }

    async fn run(self, connections: &mut Connections) -> Result<Answer> {
        match self {
            Verb::Demo(args) => demo::run(args, connections).await,
            Verb::Up(args) => up::run(args, connections).await,
            Verb::Produce(args) => produce::run(args, connections).await,
            Verb::Bronze(args) => bronze::run(args, connections).await,
            Verb::Plan(args) => plan::run(args, connections).await,
            Verb::Promote(args) => promote::run(args, connections).await,
            Verb::Retry(args) => retry::run(args, connections).await,
            Verb::Test(args) => test::run(args, connections).await,
            Verb::LoadWarehouse(args) => load::run(args, connections).await,
            Verb::Run(args) => run::run(args, connections).await,
            Verb::Verify(args) => verify::run(args, connections).await,
            Verb::Query(args) => query::run(args, connections).await,
            Verb::Export(args) => export::run(args, connections).await,
            Verb::Status(args) => status::run(args, connections).await,
            Verb::Maintain(args) => maintain::run(args, connections).await,
            Verb::Quarantine(args) => quarantine::run(args, connections).await,
            Verb::Doctor(args) => doctor::run(args, connections).await,
            Verb::Functions(args) => functions::run(&args, connections),
        }
    }
}

/// How a command ended, and what went wrong when the embedded parts were left after it.
struct Ending {
    outcome: Result<Answer>,
    unclosed: Option<Error>,
}

impl Ending {
    fn new(outcome: Result<Answer>) -> Ending {
        Ending { outcome, unclosed: None }
    }
}

/// Parses the process' arguments, runs the command and yields its exit code.
pub fn main() -> ExitCode {
    let cli = Cli::try_parse().and_then(check_format).unwrap_or_else(|error| error.exit());
    let env: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let dumb = env.get("TERM").is_some_and(|term| term == "dumb");
    let plain = dumb || env.get("NO_COLOR").is_some_and(|no| !no.is_empty());
    let colour = !plain && std::io::stderr().is_terminal();
    let format = cli.globals.output;
    let json = format == Format::Json;
    let screen = Screen::new(Detail::choose(cli.globals.quiet, json, cli.globals.no_progress, dumb));
    telemetry::start(&screen, cli.globals.verbose, cli.globals.quiet, colour);
    let ending = on_a_deep_stack(|| start(cli, &env, &screen)).unwrap_or_else(|failure| Ending::new(Err(failure)));
    conclude(ending, format, colour, &screen)
}

/// CSV is for rows, and only `query` has rows.
fn check_format(cli: Cli) -> Result<Cli, clap::Error> {
    let rows = matches!(cli.command, Command::Verb(Verb::Query(_)));
    if cli.globals.output == Format::Csv && !rows {
        let message = "`--output csv` is for `lake query`; use text or json here";
        return Err(Cli::command().error(clap::error::ErrorKind::InvalidValue, message));
    }
    let drawn = matches!(&cli.command, Command::Verb(Verb::Plan(args)) if args.graph.is_some());
    if drawn && cli.globals.output == Format::Json {
        let message = "`--graph` is text; leave `--output json` away, which names what each model reads";
        return Err(Cli::command().error(clap::error::ErrorKind::ArgumentConflict, message));
    }
    Ok(cli)
}

fn on_a_deep_stack<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work);
        let ended = thread.context(Kind::Internal, || "start the main thread")?.join();
        ended.unwrap_or_else(|_| Err(Error::internal("a thread ended in a panic, see above")))
    })
}

fn start(cli: Cli, env: &BTreeMap<String, String>, screen: &Screen) -> Result<Ending> {
    let Cli { globals, command } = cli;
    let verb = match command {
        Command::Init(args) => return Ok(Ending::new(init::run(args))),
        Command::Verb(verb) => verb,
    };
    let (format, verbose) = (globals.output, globals.verbose > 0);
    let config = configuration(globals, verb.flags(), env)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(STACK_BYTES)
        .build()
        .context(Kind::Internal, || "start the runtime")?;
    let ending = runtime.block_on(perform(verb, config, format, verbose, screen));
    // A blocking read of a thread that was told to stop must not hold the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    ending
}

fn configuration(globals: Globals, flags: Vec<Flag>, env: &BTreeMap<String, String>) -> Result<Config> {
    let here = std::env::current_dir().context(Kind::Config, || "find the current folder")?;
    let project = project_root(globals.project.as_deref(), &here)?;
    let flag = |key, name, value: Option<String>| value.map(|value| Flag { key, name, value });
    let flags: Vec<Flag> = [
        flag("kafka.brokers", "--brokers", globals.brokers),
        flag("lake.root", "--lake", globals.lake),
        flag("warehouse.url", "--warehouse-url", globals.warehouse_url),
    ]
    .into_iter()
    .flatten()
    .chain(flags)
    .collect();
    Config::load(&project, env, &flags)
}

async fn perform(verb: Verb, config: Config, format: Format, verbose: bool, screen: &Screen) -> Result<Ending> {
    let stop = Stop::default();
    signals::watch(stop.clone(), screen.clone())?;
    let mut connections = Connections::new(config, format, verbose, screen.clone(), stop.clone());
    let outcome = verb.run(&mut connections).await;
    let unclosed = connections.close().await.err();
    Ok(Ending { outcome: outcome.map(|answer| answer.failing(stop.check().err())), unclosed })
}

fn conclude(ending: Ending, format: Format, colour: bool, screen: &Screen) -> ExitCode {
    screen.clear();
    let Ending { outcome, unclosed } = ending;
    let (answer, failure) = match outcome {
        Ok(answer) => answer.split(),
        Err(failure) => (Answer::written(), Some(failure)),
    };
    let (failure, unclosed) = match failure {
        None => (unclosed, None),
        failure => (failure, unclosed),
    };
    let failure = match answer.print(format, failure.as_ref()) {
        Ok(()) => failure,
        Err(unwritten) => failure.or(Some(unwritten)),
    };
    let code = tell(failure.as_ref(), colour, screen);
    if let Some(unclosed) = unclosed {
        // A second failure, told on one line below the first.
        screen.write(format!("warning: {}\n", unclosed.in_one_line()).as_bytes());
    }
    code
}

fn tell(failure: Option<&Error>, colour: bool, screen: &Screen) -> ExitCode {
    match failure.map(|failure| (failure, failure.kind())) {
        None | Some((_, Kind::Interrupted(READER_GONE))) => ExitCode::SUCCESS,
        Some((_, kind @ Kind::Interrupted(_))) => {
            screen.line("stopped");
            ExitCode::from(kind.exit_code())
        }
        Some((failure, kind)) => {
            screen.write(failure::text(failure, colour).as_bytes());
            ExitCode::from(kind.exit_code())
        }
    }
}

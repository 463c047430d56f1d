//! What happened: a sink is asked, and the Executions where it knows nothing.

use std::fs;

use anyhow::{Context as _, anyhow};
use jiff::Timestamp;

use super::{Args, encoded, exit, names, tree};
use crate::api::{EventRecord, Execution};
use crate::cli::connect::{Connected, connect};
use crate::cli::output::{FAINT, Format, Output, Rows, age, paint};
use crate::cli::send::sink_url;
use crate::cli::sink::Sink;
use crate::cli::{Error, Exit, Global, story};
use crate::event::Event;
use crate::explain::{self, Answer, Decision, Outcome, Seen, Told, Trail};
use crate::ops;

/// Most Executions that are looked at, to say where they stand.
const MAX_LOOKED_AT: usize = 20;

pub(super) async fn explain(args: &Args, global: &Global, output: &Output) -> Result<Exit, Error> {
    let connected = connect(global).await?;
    let sink = Sink::new(&sink_url(args.sink.as_ref(), &connected)?)?;
    let token = args.token_file.as_ref().map(|path| {
        let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()));
        text.map(|text| text.trim().to_owned()).map_err(Error::Usage)
    });
    let token = token.transpose()?;
    let question: Vec<(&str, &str)> =
        [("id", args.sent.as_deref()), ("source", args.event.source()), ("trigger", args.trigger.as_deref())]
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect();
    let mut told = sink.decisions(&connected.namespace, &question, token.as_deref()).await?;
    let Some(id) = &args.sent else {
        print(args, output, &told)?;
        return Ok(Exit::Success);
    };
    if told.decisions.is_empty() {
        return not_known(id, args, &connected, output, &told).await;
    }
    let runs = told.decisions.iter_mut().flat_map(|decision| &mut decision.runs);
    for run in runs.take(MAX_LOOKED_AT) {
        let Some(name) = &run.execution else { continue };
        // It says more, where it can be seen; without it everything else is true all the same.
        let found: Result<Execution, _> = ops::get(&connected.client, &connected.namespace, name).await;
        run.state = found.ok().map(|execution| state(&execution));
    }
    print(args, output, &told)?;
    Ok(exit(&told.decisions))
}

/// Where a run stands: `Queued: the job is suspended`.
fn state(execution: &Execution) -> String {
    let (state, message) = (story::state(execution), story::message(execution));
    if message.is_empty() { state } else { format!("{state}: {message}") }
}

fn print(args: &Args, output: &Output, told: &Told) -> Result<(), Error> {
    match args.output {
        Format::Table if args.sent.is_some() || args.trigger.is_some() => {
            for (index, decision) in told.decisions.iter().enumerate() {
                let gap = if index > 0 { "\n" } else { "" };
                output.text(&format!("{gap}{}", tree::decision(decision)))?;
            }
            if told.more > 0 {
                output.note(paint(FAINT, format!("it was received {} times more before", told.more)));
            }
        }
        Format::Table => {
            output.text(&latest(&told.decisions).render(true))?;
            output.note(paint(FAINT, memory(told)));
        }
        Format::Name => names(output, &told.decisions)?,
        format @ (Format::Json | Format::Yaml) => output.object(format, &encoded(told)?)?,
    }
    Ok(())
}

fn latest(decisions: &[Decision]) -> Rows {
    let now = Timestamp::now();
    let mut table = Rows::new(&["AGE", "TYPE", "ID", "SOURCE", "ANSWER", "RUNS"]);
    for decision in decisions {
        let attribute = |name: &str| decision.event.attribute(name).unwrap_or("-").to_owned();
        let received = decision.received.as_deref().and_then(|text| text.parse().ok());
        let runs: Vec<&str> = decision.runs.iter().filter_map(|run| run.execution.as_deref()).collect();
        let runs = match (runs.as_slice(), &decision.answer.detail) {
            ([], Some(detail)) => detail.clone(),
            ([], None) => "no trigger matched".to_owned(),
            (runs, _) => runs.join(", "),
        };
        table.push([
            age(received, now),
            attribute("type"),
            attribute("id"),
            attribute("source"),
            decision.answer.status.to_string(),
            runs,
        ]);
    }
    table
}

/// What the sink remembers.
fn memory(told: &Told) -> String {
    let sink = told.sink.as_ref().map_or_else(|| "the sink".to_owned(), |name| format!("sink {name}"));
    match (&told.since, told.forgotten) {
        (None, 0) => format!("{sink} has received nothing since it started"),
        (None, forgotten) => format!("{sink} has forgotten {forgotten} events and keeps none"),
        (Some(since), 0) => {
            format!("{sink} remembers everything since it started; its first event came at {since}")
        }
        (Some(since), forgotten) => {
            format!("{sink} remembers events since {since}, and has forgotten {forgotten}")
        }
    }
}

/// The sink does not know the event; an Execution that it led to still may.
async fn not_known(
    id: &str,
    args: &Args,
    connected: &Connected,
    output: &Output,
    told: &Told,
) -> Result<Exit, Error> {
    let namespace = &connected.namespace;
    let found: Result<Vec<Execution>, _> = ops::list(&connected.client, Some(namespace), None).await;
    let is_it = |record: &EventRecord| {
        record.id == id && args.event.source().is_none_or(|source| record.source == source)
    };
    let decisions: Vec<Decision> = match &found {
        Ok(executions) => executions
            .iter()
            .filter_map(|execution| {
                Some((execution, execution.spec.events.first().filter(|one| is_it(one))?))
            })
            .filter_map(|(execution, record)| of_execution(execution, record))
            .collect(),
        Err(_) => Vec::new(),
    };
    let hints = "each of several sinks knows what it received itself: --sink asks another; an event that was refused before its sender was known is kept nowhere";
    if decisions.is_empty() {
        let looked = match found {
            Ok(_) => format!("no execution of namespace {namespace} is about it, either"),
            Err(error) => format!("executions cannot be listed ({error})"),
        };
        return Err(Error::Failed(anyhow!(
            "nothing is known of an event {id} in namespace {namespace}: {}; {looked}\n  hint: {hints}",
            memory(told)
        )));
    }
    output.note(paint(FAINT, format!("{}; this is what executions hold", memory(told))));
    print(args, output, &Told { decisions: decisions.clone(), ..told.clone() })?;
    Ok(exit(&decisions))
}

/// What an Execution says about the event that it was created for.
fn of_execution(execution: &Execution, record: &EventRecord) -> Option<Decision> {
    let event = Event::try_from(record).ok()?;
    let job = execution.spec.job.name.clone();
    let trail = Trail::of(execution);
    let triggers = trail.as_ref().map(|trail| trail.triggers.clone()).unwrap_or_default();
    let triggers: Vec<_> =
        triggers.into_iter().map(|verdict| explain::Verdict { job: job.clone(), ..verdict }).collect();
    let run = explain::Run {
        triggers: triggers.iter().map(|verdict| verdict.trigger.clone()).collect(),
        outcome: Outcome::Created,
        execution: execution.metadata.name.clone(),
        parameters: explain::parameters(&execution.spec.parameters),
        waits: None,
        places: None,
        state: Some(state(execution)),
        refusal: None,
        job: job.clone(),
    };
    Some(Decision {
        event: Seen::of(&event),
        namespace: execution.metadata.namespace.clone().unwrap_or_default(),
        job: triggers.is_empty().then_some(job),
        received: trail.as_ref().map(|trail| trail.received.clone()),
        triggers,
        untold: trail.as_ref().map_or(0, |trail| trail.more),
        runs: vec![run],
        answer: Answer::accepted(),
    })
}

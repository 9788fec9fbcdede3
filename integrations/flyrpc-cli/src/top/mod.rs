//! `flyrpc top`

mod reading;
mod rows;
mod screen;

use std::{
    io::{self, IsTerminal as _},
    thread,
    time::Duration,
};

use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers},
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};

use self::{
    reading::Reading,
    rows::{Row, Sort},
    screen::Screen,
};
use crate::{
    cli::TopArgs,
    exit::{self, Failure},
    options::Options,
    output::{print, print_json, table},
    session::Session,
};

/// The time between two readings.
const INTERVAL: Duration = Duration::from_secs(1);

/// The time after which the screen is drawn again while a reading takes long, to show the age of the last one.
const REDRAW: Duration = Duration::from_millis(500);

pub(crate) async fn run(options: &Options, args: TopArgs) -> Result<u8, Failure> {
    if options.json && !args.once {
        let why = "`top --json` needs `--once`: it prints the calls of one second";
        return Err(Failure::Usage(why.to_owned()));
    }
    if !args.once && !io::stdout().is_terminal() {
        let why = "`top` needs a terminal; `top --once` prints the calls of one second";
        return Err(Failure::Usage(why.to_owned()));
    }
    let session = Session::open(options).await?;
    if args.once { once(options, &session).await } else { live(&session).await }
}

async fn once(options: &Options, session: &Session) -> Result<u8, Failure> {
    let begin = Instant::now();
    let first = Reading::take(session, None).await?;
    sleep_until(begin + INTERVAL).await;
    let second = Reading::take(session, Some(&first)).await?;
    let mut rows = rows::between(&first, &second);
    Sort::default().apply(&mut rows);
    if options.json {
        print_json(&rows)?;
    } else {
        let mut cells = vec![Row::HEADER.map(str::to_owned).to_vec()];
        cells.extend(rows.iter().map(|row| row.cells().to_vec()));
        print(&table(&cells))?;
    }
    Ok(exit::OK)
}

async fn live(session: &Session) -> Result<u8, Failure> {
    // Before the terminal changes: from now on, signals do not end the process.
    let ended = ended().map_err(|error| Failure::Local(format!("no signals: {error}")))?;
    let terminal = ratatui::try_init();
    let terminal = terminal.map_err(|error| Failure::Local(format!("no terminal: {error}")))?;
    let result = tokio::select! {
        result = show(session, terminal) => result,
        signal = ended => Ok(exit::FIRST_SIGNAL + signal),
    };
    ratatui::restore();
    result
}

async fn show(session: &Session, mut terminal: DefaultTerminal) -> Result<u8, Failure> {
    let mut keys = read_keys();
    let mut screen = Screen::new(session.visitor.node());
    let mut last: Option<Reading> = None;
    let mut due = Instant::now();
    let mut taken = None;
    loop {
        let reading = {
            let next = async {
                sleep_until(due).await;
                Reading::take(session, last.as_ref()).await
            };
            tokio::pin!(next);
            loop {
                let age = taken.map(|taken: Instant| taken.elapsed());
                let drawn = terminal.draw(|frame| screen.draw(frame, age));
                drawn.map_err(|error| Failure::Local(format!("cannot draw: {error}")))?;
                tokio::select! {
                    reading = &mut next => break reading?,
                    key = keys.recv() => match key {
                        Some(Key::Quit) | None => return Ok(exit::OK),
                        Some(Key::Sort) => screen.sort_by_next(),
                        Some(Key::Redraw) => {}
                    },
                    () = sleep(REDRAW) => {}
                }
            }
        };
        // After a slow reading, the next one begins at once.
        due = (due + INTERVAL).max(Instant::now());
        if let Some(last) = &last {
            screen.update(rows::between(last, &reading), &reading);
        }
        last = Some(reading);
        taken = Some(Instant::now());
    }
}

/// Waits for a signal that ends the process, and returns its number. The terminal must be restored first.
#[cfg(unix)]
fn ended() -> io::Result<impl Future<Output = u8>> {
    use tokio::signal::unix::{SignalKind, signal};
    let kinds = [SignalKind::hangup(), SignalKind::interrupt(), SignalKind::terminate()];
    let [hangup, interrupt, terminate] = kinds.map(signal);
    let (mut hangup, mut interrupt, mut terminate) = (hangup?, interrupt?, terminate?);
    Ok(async move {
        let kind = tokio::select! {
            _ = hangup.recv() => kinds[0],
            _ = interrupt.recv() => kinds[1],
            _ = terminate.recv() => kinds[2],
        };
        kind.as_raw_value() as u8
    })
}

#[cfg(not(unix))]
fn ended() -> io::Result<impl Future<Output = u8>> {
    Ok(std::future::pending())
}

enum Key {
    Quit,
    Sort,
    /// The size of the terminal changed.
    Redraw,
}

/// Reads keys on a thread, which ends with the process.
fn read_keys() -> mpsc::UnboundedReceiver<Key> {
    let (keys, receiver) = mpsc::unbounded_channel();
    thread::spawn(move || {
        while let Ok(event) = event::read() {
            let key = match event {
                Event::Key(key) if key.kind != KeyEventKind::Press => continue,
                Event::Key(key) => match key.code {
                    KeyCode::Char('q') | KeyCode::Esc => Key::Quit,
                    KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                        Key::Quit
                    }
                    KeyCode::Char('s') => Key::Sort,
                    _ => continue,
                },
                Event::Resize(..) => Key::Redraw,
                _ => continue,
            };
            if keys.send(key).is_err() {
                return;
            }
        }
    });
    receiver
}

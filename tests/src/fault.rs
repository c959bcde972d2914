//! A fault server: Docker's API as a runtime in trouble serves it. It knows every container, and gives each the label
//! `team=late`; when it answers is the test's to say.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex},
};

use serde_json::json;

/// The server. It ends with the test.
#[derive(Debug)]
pub struct Fault {
    path: PathBuf,
    door: Arc<Door>,
    _folder: tempfile::TempDir,
}

#[derive(Debug, Default)]
struct Door {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_open: bool,
    asked: Vec<String>,
    answered: usize,
}

impl Fault {
    /// Starts a server that takes questions and answers none before it is [released](Self::release).
    pub fn start() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("sensor-fault-").tempdir()?;
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path)?;
        let door = Arc::new(Door::default());
        let shared = Arc::clone(&door);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let door = Arc::clone(&shared);
                // A client that goes away is its own business.
                std::thread::spawn(move || serve(&stream, &door));
            }
        });
        Ok(Self {
            path,
            door,
            _folder: folder,
        })
    }

    /// Its socket.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lets it answer what it was asked, and all that it will be asked.
    pub fn release(&self) {
        self.door.lock().is_open = true;
        self.door.changed.notify_all();
    }

    /// Whether it has been asked about a container.
    #[must_use]
    pub fn was_asked(&self, id: &str) -> bool {
        self.door.lock().asked.iter().any(|path| path.contains(id))
    }

    /// Answers that were given.
    #[must_use]
    pub fn answered(&self) -> usize {
        self.door.lock().answered
    }
}

impl Door {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn serve(mut stream: &UnixStream, door: &Door) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first)? == 0 {
            return Ok(());
        }
        let mut line = String::new();
        while reader.read_line(&mut line)? > 2 {
            line.clear();
        }
        let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut state = door.lock();
        state.asked.push(path.clone());
        while !state.is_open {
            state = door
                .changed
                .wait(state)
                .unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        state.answered += 1;
        drop(state);
        let body = match path
            .strip_prefix("/containers/")
            .and_then(|rest| rest.strip_suffix("/json"))
        {
            Some(id) => {
                json!({"Id": id, "Name": "/late", "Config": {"Image": "late:1", "Labels": {"team": "late"}}})
            }
            None => json!({"Version": "0"}),
        };
        let body = body.to_string();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )?;
    }
}

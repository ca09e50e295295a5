const CALLING = `  --url URL          the service; default: from HOST and PORT, else http://localhost:3000
  --token TOKEN      a JWT or an API key; default: one signed with JWT_SECRET, or with the
                     secret the service made under DATA_DIR`

const COMMON = `  --json             one JSON object a line
  --help, --version`

const topics: Record<string, string> = {
  '': `Usage: belfry <command> [options]

  token      sign a token
  publish    send a notification
  listen     print what a user gets, as it comes
  doctor     examine the data folder of the embedded store

  belfry <command> --help tells its options. Data goes to stdout, everything else to stderr.
  Exit code: 0 done, 1 it failed, 2 the command line is wrong.
`,
  token: `Usage: belfry token --user alice [options]

  --user USER        whom it is for (sub)
  --scope SCOPE      publish or admin, for a service; default: none, a user's token
  --expires TIME     90s, 15m, 24h or 7d; default 24h
${COMMON}
`,
  publish: `Usage: belfry publish --to alice --type sync.done --title "Sync finished" [options]

  --to USERS         one user, or several with commas between them
  --type TYPE        what happened, for the app
  --title TITLE      one line for a person
  --ref REF          where the details are
  --data JSON        a JSON object of up to 4 KB; - reads it from stdin
  --half-life S      seconds in which it loses half its worth while it is parked
  --key KEY          Idempotency-Key: the same key never makes a second notification
${CALLING}
${COMMON}
`,
  listen: `Usage: belfry listen --user alice [options]

  --user USER        whose notifications
  --device ID        a device of its own, whose place the service keeps; default: the shared one
  --from POSITION    earliest, latest or an event id; default: where the device left off
${CALLING}
${COMMON}

  Reconnects and resumes by itself. Ctrl-C ends it.
`,
  doctor: `Usage: belfry doctor [options]

  --repair           make a damaged folder usable; damaged files are kept in lost/
${COMMON}

  Examines the embedded store under DATA_DIR. The service must not run. Without --repair
  nothing is changed. Exit code: 0 sound or repaired, 1 damaged.
`
}

/** The help text of a command, or of all of them for anything else. */
export function helpText(topic: string): string {
  return topics[topic] ?? (topics[''] as string)
}

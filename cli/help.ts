const CALLING = `  --url URL          the service; default: from HOST and PORT, else http://localhost:3000
  --token TOKEN      a JWT or an API key; default: one signed with JWT_SECRET, or with the
                     secret that the service generated under DATA_DIR`

const COMMON = `  --json             one JSON object a line
  --help, --version`

const topics: Record<string, string> = {
  '': `Usage: belfry <command> [options]

  token      sign a token
  publish    send a notification
  listen     print the notifications of a user as they arrive
  schedule   list the scheduled notifications of a user
  topic      add, remove or list the members of a topic
  broadcast  show the progress of a broadcast, or cancel it
  doctor     examine the data folder of the embedded store
  vapid      make the keys of Web Push
  webhook    receive webhooks, verify and print them

  belfry <command> --help shows its options. Data goes to stdout, everything else to stderr.
  Exit code: 0 success, 1 failure, 2 the command line is wrong.
`,
  token: `Usage: belfry token --user alice [options]

  --user USER        the user of the token (sub)
  --scope SCOPE      publish or admin, for a service; default: none, a user's token
  --expires TIME     90s, 15m, 24h or 7d; default 24h
${COMMON}
`,
  publish: `Usage: belfry publish --to alice --type sync.done --title "Sync finished" [options]

  --to USERS         one user, or several with commas between them
  --topic TOPIC      in place of --to: the members of a topic
  --everyone         in place of --to: every user who has a log
  --except USERS     those of the topic, or of everyone, who do not get it
  --type TYPE        the kind of event, for the app
  --title TITLE      one line for a person
  --ref REF          a link to the details, or an id for the app
  --data JSON        a JSON object of up to 4 KB; - reads it from stdin
  --half-life S      a parked notification loses half its worth in this many seconds
  --ttl TIME         it expires after 90s, 15m, 24h or 7d
  --collapse-key KEY it replaces the user's earlier notification of this key
  --urgency LEVEL    very-low, low, normal or high
  --deliver-at TIME  publish it in +15m, or at 2030-01-31T08:00:00Z; up to 30 days ahead
  --action NAME=TEXT a button with its label, like approve=Approve; up to three
  --key KEY          Idempotency-Key: the same key never makes a second notification
${CALLING}
${COMMON}
`,
  listen: `Usage: belfry listen --user alice [options]

  --user USER        the user whose notifications are printed
  --device ID        a device whose cursor the service keeps; default: the shared device
  --from POSITION    earliest, latest or an event id; default: the cursor of the device
${CALLING}
${COMMON}

  Reconnects and resumes by itself. Ctrl-C ends it. On a terminal, a line "a ID ACTION"
  answers a notification; the first characters of its id are enough.
`,
  schedule: `Usage: belfry schedule --user alice [options]

  --user USER        the user whose scheduled notifications are listed
  --cancel ID        cancel this notification, and list nothing
${CALLING}
${COMMON}

  The token needs the scope admin.
`,
  topic: `Usage: belfry topic add|remove TOPIC USER... [options]
       belfry topic members TOPIC [options]

  add                make the users members of the topic; - reads them from stdin, one a line
  remove             end their memberships
  members            print the members, one a line
${CALLING}
${COMMON}

  The token needs the scope admin.
`,
  broadcast: `Usage: belfry broadcast ID [options]

  --cancel           stop the broadcast, and recall it from those who got it
${CALLING}
${COMMON}

  Shows the progress until the broadcast has ended: a bar on a terminal, else lines. Ctrl-C
  ends the display, and not the broadcast.
`,
  doctor: `Usage: belfry doctor [options]

  --repair           make a damaged folder usable; damaged files are moved to lost/
${COMMON}

  Examines the embedded store under DATA_DIR. The service must not run. Without --repair
  nothing is changed. Exit code: 0 sound or repaired, 1 damaged.
`,
  vapid: `Usage: belfry vapid [options]

${COMMON}

  Prints a pair of keys as variables of the service. Keep the private key secret.
`,
  webhook: `Usage: belfry webhook [options]

  --port PORT        the port to listen on, on this machine only; default 4000, 0: a free port
  --secret SECRET    whsec_...; default: WEBHOOK_SECRET, else a new one that is printed
${COMMON}

  Receives webhooks, verifies them and prints them: a tool for developers. It answers 204, or
  401 if a webhook is not signed with the secret. Ctrl-C ends it.
`
}

/** Returns the help text of a command; for any other topic the list of commands. */
export function helpText(topic: string): string {
  return topics[topic] ?? (topics[''] as string)
}

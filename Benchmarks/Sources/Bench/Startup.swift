import Foundation

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// How long `scorefield --help` takes beside an interpreter that does nothing; both are started the same way.
let startup = Comparison(title: "Start of a process", rounds: 3, peer: Peer(script: nil, arguments: [])) {
  guard let tool = ProcessInfo.processInfo.environment["SCOREFIELD_TOOL"], let python = Peer.python else { return [] }
  let help = seconds(runs: 9) { spawn([tool, "--help"]) }
  let nothing = seconds(runs: 9) { spawn([python, "-S", "-c", "pass"]) }
  return [
    Figure(name: "scorefield --help", value: help, unit: "s"),
    Figure(name: "python3 -S -c pass", value: nothing, unit: "s"),
    Figure(name: "ratio", value: help / nothing, unit: ""),
  ]
}

/// Runs a command to its end.
///
/// Foundation's own way polls for it.
private func spawn(_ arguments: [String]) {
  var actions = posix_spawn_file_actions_t()
  posix_spawn_file_actions_init(&actions)
  defer { posix_spawn_file_actions_destroy(&actions) }
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0)
  var words = arguments.map { strdup($0) } + [nil]
  defer { for word in words { free(word) } }
  var process = pid_t()
  guard posix_spawn(&process, arguments[0], &actions, nil, &words, environ) == 0 else {
    fatalError("spawn(\(arguments[0])): \(String(cString: strerror(errno)))")
  }
  var status: Int32 = 0
  waitpid(process, &status, 0)
}

import ArgumentParser
import Scorefield

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// Parses, runs, and turns every failure into one line on stderr and an exit code.
@main
enum Main {
  static func main() {
    Interrupt.endsTheProcess()
    do {
      var command = try Root.parseAsRoot()
      try command.run()
    } catch {
      end(with: error)
    }
  }

  private static func end(with error: any Error) -> Never {
    let failure: Failure
    switch error {
    case let error as Failure: failure = error
    case let error as ArrayFileError: failure = Failure(error)
    case let error as EngineError: failure = Failure(error)
    default:
      guard Root.exitCode(for: error) != .success else {
        // Help and the version are answers, not failures.
        print(Root.fullMessage(for: error))
        exit(ExitStatus.done.rawValue)
      }
      failure = Root.exitCode(for: error) == .validationFailure ? Failure(usage: error) : Failure(unexpected: error)
    }
    Terminal.say("scorefield: \(failure.line)")
    exit(failure.status.rawValue)
  }
}

struct Root: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "scorefield",
    abstract: "Diffusion models and the field beneath them: score, Fisher, likelihood.",
    version: "0.1.0",
    subcommands: [FisherCommand.self, LikelihoodCommand.self, SampleCommand.self, DemoCommand.self])
}

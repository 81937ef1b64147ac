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
    Crash.endsTheProcess()
    do {
      do {
        var command = try Root.parseAsRoot()
        try command.run()
      } catch  where Root.exitCode(for: error) == .success {
        // Help and the version are answers, not failures.
        try Terminal.answer(Root.fullMessage(for: error))
      }
    } catch let code as ExitCode {
      exit(code.rawValue)
    } catch {
      let failure = Failure(of: error)
      Terminal.say("scorefield: \(failure.line)")
      exit(failure.status.rawValue)
    }
  }
}

struct Root: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "scorefield",
    abstract: "Diffusion models and the field beneath them: score, Fisher, likelihood.",
    version: "0.1.0",
    subcommands: [
      FisherCommand.self, LikelihoodCommand.self, SampleCommand.self, CompareSolversCommand.self,
      SolverStatisticsCommand.self, GuideCommand.self, TransportCommand.self, TrainCommand.self, ReproduceCommand.self,
      DemoCommand.self,
    ])
}

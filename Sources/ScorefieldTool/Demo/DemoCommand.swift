import ArgumentParser
import Scorefield
import ScorefieldImages

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

struct DemoCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "demo", abstract: "What the exact field of real digits knows: a table, and a page of pictures.")

  @OptionGroup var common: CommonOptions

  @Option(help: "The folder that holds digits.npy.")
  var data = "Data"

  @Option(help: "The folder for report.html and the pictures; made where it is not there.")
  var out = "demo"

  mutating func run() throws {
    let type = try common.validated()
    let digits = try ArrayInput("\(data)/digits.npy")
    guard digits.isLevels, digits.array.shape.count == 3, digits.array.shape[0] >= 200 else {
      throw Failure(
        .badData, digits.path, "is no set of 200 or more images", repair: "use the digits that come with the package")
    }
    if mkdir(out, 0o777) != 0, errno != EEXIST {
      throw Failure(.cannotWrite, out, "cannot be made (\(String(cString: strerror(errno))))", repair: "check the path")
    }
    try ArrayOutput.checkWritable("\(out)/report.html")

    try common.start()
    let clock = ContinuousClock()
    let start = clock.now
    let demo = DigitsDemo(images: try digits.data(type ?? .float64, levels: 17), seed: common.seed)
    let levels = demo.noiseLevels()
    let ranking = demo.rankings()
    let bends = demo.eigenvectors()
    let seconds = (clock.now - start).seconds

    let report = DemoReport(demo: demo, levels: levels, rankings: ranking, eigenvectors: bends)
    let picture = "\(out)/overview.png"
    try OutputFile.write([
      report.page().file("\(out)/report.html"),
      OutputFile([try PNG.encode(report.overview(), name: picture)], picture),
    ])
    if common.json {
      try Terminal.answer(
        try Report(body: report.figures, seconds: seconds, networkEvaluations: demo.counter.count).json())
    } else {
      try Terminal.answer(report.words)
      try Terminal.answer("\(out)/report.html has the pictures (\(fixed(seconds, 1)) s of computing)")
    }
  }
}

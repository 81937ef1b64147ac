import ArgumentParser
import Scorefield

/// Which of its own rows a data set is asked at, and whether a job that was ended goes on.
struct QueryOptions: ParsableArguments {
  @Flag(help: "Ask a data set at its own rows, each without itself.")
  var leaveOneOut = false

  @Option(help: "The rows to ask at with --leave-one-out: a..b, from 0, b not included (default: all).")
  var rows: String?

  @Flag(help: "Go on with a job that was ended, from the parts that are done, which are in a file beside --out.")
  var resume = false

  /// Which rows are asked at, for a journal.
  var description: String { leaveOneOut ? rows ?? "all" : "none" }

  /// The checks that need nothing but the options.
  ///
  /// - Parameters:
  ///   - points: The option that names the queries, and what it says.
  ///   - model: What `--model` says.
  ///   - out: What `--out` says.
  /// - Throws: Where they do not go together.
  func validate(_ points: (option: String, path: String?), model: String, out: String?) throws(Failure) {
    guard !resume || out != nil else {
      throw .option("--resume", "has no --out whose parts could be there", repair: "give --out")
    }
    guard leaveOneOut || rows == nil else {
      throw .option("--rows", "is for --leave-one-out", repair: "leave it out, or give --leave-one-out")
    }
    guard leaveOneOut || points.path != nil else {
      throw .option(
        points.option, "is missing", repair: "give the points to ask at, or --leave-one-out for the data themselves")
    }
    guard !leaveOneOut || points.path == nil || points.path == model else {
      throw .option(
        points.option, "'\(points.path ?? "")' is not the data set, which --leave-one-out asks at",
        repair: "leave \(points.option) out, or choose rows with --rows")
    }
    _ = try range(of: .max)
  }

  /// The rows that are asked at.
  func positions(in data: DataSet?) throws(Failure) -> [Int] {
    guard let data else {
      throw .option("--leave-one-out", "is for data sets, and the model is none", repair: "leave it out")
    }
    let positions = data.positions(in: try range(of: data.count))
    guard !positions.isEmpty else {
      throw .option("--rows", "'\(rows ?? "")' holds no row of the class or of any weight", repair: "choose other rows")
    }
    guard data.positions(in: 0..<data.count).count > 1 else {
      throw .option("--leave-one-out", "leaves nothing of a data set of one point", repair: "leave it out")
    }
    return positions
  }

  private func range(of count: Int) throws(Failure) -> Range<Int> {
    guard let rows else { return 0..<count }
    let ends = rows.split(separator: ".", omittingEmptySubsequences: false)
    guard ends.count == 3, ends[1].isEmpty, let first = Int(ends[0]), let end = Int(ends[2]), 0 <= first, first < end
    else { throw .option("--rows", "'\(rows)' is no range of rows", repair: "write a..b with a < b, such as 0..1000") }
    guard end <= count else {
      throw .option("--rows", "'\(rows)' ends beyond the \(count) rows", repair: "choose rows from 0..\(count)")
    }
    return first..<end
  }
}

import ScorefieldArrays
import ScorefieldPaths
import ScorefieldTensorCore
import Synchronization

/// The exact field of a data set that stays on the disk.
///
/// It is ``EmpiricalDenoiser``'s field, by one pass over the files per question, and to the last bit the same however the
/// points are cut into files and chunks.
///
/// A disk may fail in the middle of a pass, and a file may be changed. ``stream(_:at:along:)`` throws then, and is what a long
/// job asks. ``denoise(_:at:)`` and ``posterior(_:at:along:)`` cannot, for no arithmetic throws; nor may they end a process
/// that has other things to lose. They answer with NaN, which no solver takes for a result, and keep the reason in
/// ``failure``, from then on without reading any more: whoever writes results asks ``check()`` first.
///
/// Its answers are numbers, which are not differentiated: derivatives are the posterior's products.
///
/// - Cost: `O(B·N·d)` and one reading of the files, two where second moments cancel; memory `O(B·d)` and a chunk.
public struct StoredField: ExactField {
  public let points: StoredPoints
  public let schedule: any NoiseSchedule
  private let trouble: Trouble
  private let omission: Omission?

  /// The points that the queries of a batch do without.
  private struct Omission {
    /// Their numbers, −1 where nothing is left out, and the logarithm of the weight of all others.
    let numbers: [Int]
    let logRemainders: [Double]
  }

  /// What went wrong first, with all the points or without some.
  private final class Trouble: Sendable {
    let first = Mutex<ArrayFileError?>(nil)
  }

  /// The field of stored points.
  ///
  /// - Parameters:
  ///   - points: The points, which were looked over.
  ///   - schedule: How they become noise.
  public init(_ points: StoredPoints, on schedule: any NoiseSchedule) {
    self.init(points, on: schedule, nil, Trouble())
  }

  private init(
    _ points: StoredPoints, on schedule: any NoiseSchedule, _ omission: Omission?, _ trouble: Trouble
  ) {
    (self.points, self.schedule, self.omission, self.trouble) = (points, schedule, omission, trouble)
  }

  /// The field for a batch of queries, each without one of the data.
  ///
  /// - Parameter positions: Which row of the files each query does without, counted over all of them; a row that is no point
  ///   is none to leave out. Stops where one of them is the whole data set.
  /// - Returns: A field that answers batches of so many queries, or of several times as many that repeat in order; a failure
  ///   of either is a failure of both.
  public func leavingOut(_ positions: [Int]) -> StoredField {
    guard positions.allSatisfy((0..<points.rowCount).contains), !positions.isEmpty else {
      fatalError("leavingOut([\(positions.count)]): needs positions, each from 0 to \(points.rowCount - 1)")
    }
    let numbers = points.numbers(of: positions)
    let logRemainders = numbers.map { number in
      guard let rest = points.logRemainder(without: number) else {
        fatalError("leavingOut([\(positions.count)]): a point is the whole data set, without it nothing is left")
      }
      return rest
    }
    return StoredField(points, on: schedule, Omission(numbers: numbers, logRemainders: logRemainders), trouble)
  }

  /// Why answers are NaN; nil while all is well.
  public var failure: ArrayFileError? { trouble.first.withLock { $0 } }

  /// Throws where an answer could not be had.
  public func check() throws(ArrayFileError) {
    if let failure { throw failure }
  }

  public func denoise(_ x: Tensor, at t: Double) -> Tensor {
    answered(StoredStream(self, x, at: t, along: nil, second: false))?.mean ?? .full(x.shape, .nan, type: x.elementType)
  }

  public func posterior(_ x: Tensor, at t: Double, along direction: Tensor?) -> PosteriorMoments {
    posteriors([FieldQuestion(x, at: t, along: direction)])[0]
  }

  public func posteriors(_ questions: [FieldQuestion]) -> [PosteriorMoments] {
    guard failure == nil else { return questions.map(unknown) }
    do throws(ArrayFileError) {
      return try read(questions)
    } catch {
      trouble.first.withLock { $0 = $0 ?? error }
      return questions.map(unknown)
    }
  }

  /// The answers to several questions, by one pass over the files and a second one where second moments cancel.
  private func read(_ questions: [FieldQuestion]) throws(ArrayFileError) -> [PosteriorMoments] {
    var streams = questions.map { stream($0.x, at: $0.time, along: $0.direction) }
    while let range = streams.lazy.compactMap(\.following).first {
      let (rows, logWeights) = (try points.points(range).packed, points.logWeights(range))
      for index in streams.indices where streams[index].following == range {
        streams[index].take(rows, logWeights, range)
      }
    }
    return streams.map(\.posterior)
  }

  private func unknown(_ question: FieldQuestion) -> PosteriorMoments {
    let (x, type) = (question.x, question.x.elementType)
    let (none, numbers) = (Tensor.full(x.shape, .nan, type: type), Tensor.full([x.batch], .nan, type: type))
    return PosteriorMoments(
      kernel: schedule.kernel(at: question.time), logDensity: numbers, mean: none, score: none,
      covarianceTrace: numbers, covarianceProduct: question.direction.map { _ in none }, along: question.direction)
  }

  /// A pass over the files that has not begun, for the posterior's moments at a batch of points.
  ///
  /// - Parameters:
  ///   - x: The points, shape `[B, …]`.
  ///   - t: The time.
  ///   - direction: `v` for the products, shape `[B, …]`.
  /// - Returns: A loop of the caller's, which throws where a file cannot be read.
  public func stream(_ x: Tensor, at t: Double, along direction: Tensor? = nil) -> StoredStream {
    StoredStream(self, x, at: t, along: direction, second: true)
  }

  private func answered(_ stream: StoredStream) -> PosteriorMoments? {
    guard failure == nil else { return nil }
    var stream = stream
    do throws(ArrayFileError) {
      while try stream.next() != nil {}
      return stream.posterior
    } catch {
      trouble.first.withLock { $0 = $0 ?? error }
      return nil
    }
  }

  /// The numbers of the points that a batch does without, `int64` `[B]`, and the logarithms of what is left; nil for nothing.
  func omitted(for x: Tensor) -> (numbers: Tensor, logRemainders: Tensor)? {
    guard let omission else { return nil }
    guard x.batch % omission.numbers.count == 0 else {
      fatalError("posterior(\(x.shape)): \(omission.numbers.count) points are to be left out, one per query")
    }
    let times = x.batch / omission.numbers.count
    return (Tensor(omission.numbers).tiled(times), Tensor(omission.logRemainders).tiled(times))
  }
}

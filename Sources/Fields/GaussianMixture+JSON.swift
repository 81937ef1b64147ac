import ScorefieldArrays
import ScorefieldTensorCore

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

extension GaussianMixture {
  /// The mixture in a JSON file.
  ///
  ///     {"weights": […], "means": [[…], …], "covariances": [[[…], …], …]}
  ///     {"weights": […], "means": [[…], …], "stds": […]}
  ///
  /// `stds` holds one number per component, or one list of them, a number per coordinate.
  ///
  /// - Parameter path: The file.
  /// - Throws: Where there is no such file, or it holds no mixture.
  public init(json path: String) throws(ArrayFileError) {
    try self.init(json: Bytes(mapping: path), name: path)
  }

  /// The mixture in the bytes of a JSON file; errors call the file by the given name.
  public init(json bytes: Bytes, name: String) throws(ArrayFileError) {
    let content: Content
    do {
      let data = bytes.withUnsafeBytes { buffer in Data(buffer) }
      content = try JSONDecoder().decode(Content.self, from: data)
    } catch {
      throw Self.explanation(of: error, name)
    }
    let (weights, means) = (Tensor(content.weights), try Self.tensor(content.means, "means", "mean", name))
    let make: () throws(MixtureError) -> GaussianMixture
    switch (content.covariances, content.stds) {
    case (let matrices?, nil):
      let covariances = try Self.tensor(matrices, width: means.shape[1], name)
      make = { () throws(MixtureError) in try GaussianMixture(weights: weights, means: means, covariances: covariances)
      }
    case (nil, let deviations?):
      let stds =
        switch deviations {
        case .perComponent(let values): Tensor(values)
        case .perCoordinate(let rows): try Self.tensor(rows, "stds", "list", name)
        }
      make = { () throws(MixtureError) in try GaussianMixture(weights: weights, means: means, standardDeviations: stds)
      }
    case (nil, nil):
      throw ArrayFileError(
        name, .badData, "has neither 'covariances' nor 'stds'", repair: "give the components one of them")
    case (_?, _?):
      throw ArrayFileError(name, .badData, "has both 'covariances' and 'stds'", repair: "remove one of them")
    }
    do { self = try make() } catch { throw ArrayFileError(name, .badData, error.problem, repair: error.repair) }
  }

  private struct Content: Decodable {
    let weights: [Double]
    let means: [[Double]]
    let covariances: [[[Double]]]?
    let stds: Deviations?
  }

  private enum Deviations: Decodable {
    case perComponent([Double])
    case perCoordinate([[Double]])

    init(from decoder: any Decoder) throws {
      let container = try decoder.singleValueContainer()
      if let values = try? container.decode([Double].self) {
        self = .perComponent(values)
      } else if let rows = try? container.decode([[Double]].self) {
        self = .perCoordinate(rows)
      } else {
        throw DecodingError.typeMismatch(
          Self.self, .init(codingPath: decoder.codingPath, debugDescription: "neither numbers nor lists of numbers"))
      }
    }
  }

  /// Lists of equal length as a matrix.
  private static func tensor(
    _ rows: [[Double]], _ key: String, _ row: String, _ name: String
  ) throws(ArrayFileError) -> Tensor {
    guard let first = rows.first, !first.isEmpty else {
      throw ArrayFileError(name, .badData, "'\(key)' is empty", repair: "give at least one \(row) of numbers")
    }
    if let odd = rows.firstIndex(where: { $0.count != first.count }) {
      throw ArrayFileError(
        name, .badData, "\(row) \(odd) of '\(key)' has \(rows[odd].count) numbers, the first \(first.count)",
        repair: "give all of them as many")
    }
    return Tensor(rows: rows)
  }

  /// Square matrices of a width.
  private static func tensor(
    _ matrices: [[[Double]]], width: Int, _ name: String
  ) throws(ArrayFileError) -> Tensor {
    let rows = matrices.flatMap { $0 }
    if let odd = matrices.firstIndex(where: { $0.count != width || $0.contains { $0.count != width } }) {
      throw ArrayFileError(
        name, .badData, "covariance \(odd) is not \(width) × \(width), the means are of \(width) numbers",
        repair: "give square matrices of that size")
    }
    return Tensor(rows.flatMap { $0 }, shape: [matrices.count, width, width])
  }

  /// What is wrong with a file that could not be decoded.
  private static func explanation(of error: any Error, _ name: String) -> ArrayFileError {
    let form = "write {\"weights\": […], \"means\": [[…], …], \"stds\": […]}"
    func place(_ path: [any CodingKey]) -> String {
      path.map { key in key.intValue.map { "[\($0)]" } ?? key.stringValue }.joined()
    }
    guard let error = error as? DecodingError else {
      return ArrayFileError(name, .badData, "cannot be read as JSON", repair: form)
    }
    switch error {
    case .keyNotFound(let key, _):
      return ArrayFileError(name, .badData, "has no '\(key.stringValue)'", repair: form)
    case .typeMismatch(let type, let context), .valueNotFound(let type, let context):
      guard !context.codingPath.isEmpty else {
        return ArrayFileError(name, .badData, "is JSON but no object", repair: form)
      }
      let expected =
        switch type {
        case is Double.Type: "a number"
        case is Deviations.Type: "a list of numbers or of lists of them"
        default: "a list"
        }
      return ArrayFileError(name, .badData, "'\(place(context.codingPath))' is not \(expected)", repair: form)
    // The decoder does not say which: NaN and 1e999 are not JSON to it.
    case .dataCorrupted:
      return ArrayFileError(name, .badData, "is not JSON, or holds a number that is not finite", repair: form)
    @unknown default: return ArrayFileError(name, .badData, "cannot be read as JSON", repair: form)
    }
  }
}

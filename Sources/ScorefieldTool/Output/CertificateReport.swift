import Scorefield

/// What a run's certified estimates are worth.
struct CertificateReport: Encodable {
  let estimates, estimatesWithin: Int
  /// Relative to the data's extent.
  let largestBound: Double
  /// How often each way was taken.
  let ways: [String: Int]

  init(_ certificate: CertifiedDenoiser.Certificate) {
    (estimates, estimatesWithin) = (certificate.answers, certificate.answersWithin)
    largestBound = certificate.largestBound
    ways = Dictionary(uniqueKeysWithValues: certificate.ways.map { ($0.rawValue, $1) })
  }

  var words: String {
    let taken = ways.sorted { $0.key < $1.key }.map { "\($1) \($0)" }.joined(separator: ", ")
    return "\(estimatesWithin) of \(estimates) estimates within the error (\(taken)); the largest bound is "
      + significant(largestBound, 2)
  }
}

/// One measured number.
struct Figure: Codable {
  let name: String
  let value: Double
  let unit: String
}

extension [Double] {
  var median: Double {
    let sorted = sorted()
    return count % 2 == 1 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2
  }
}

/// The median time of one call in seconds, over runs of about equal length.
func seconds(runs: Int = 5, run length: Double = 0.2, _ work: () -> Void) -> Double {
  let clock = ContinuousClock()
  func elapsed(_ repetitions: Int) -> Double {
    let time = clock.measure { for _ in 0..<repetitions { work() } }
    return Double(time.components.seconds) + Double(time.components.attoseconds) * 1e-18
  }
  var repetitions = 1
  var time = elapsed(1)
  while time < length / 4 {
    repetitions *= 2
    time = elapsed(repetitions)
  }
  repetitions = max(1, Int((Double(repetitions) * length / time).rounded()))
  return (0..<runs).map { _ in elapsed(repetitions) / Double(repetitions) }.median
}

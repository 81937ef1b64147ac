/// A number with a fixed count of decimals.
func fixed(_ value: Double, _ decimals: Int) -> String {
  guard value.isFinite else { return "\(value)" }
  let scale = (0..<decimals).reduce(1.0) { power, _ in power * 10 }
  guard abs(value) * scale < 1e15 else { return "\(value)" }
  let digits = String(Int((abs(value) * scale).rounded()))
  let padded = String(repeating: "0", count: max(0, decimals + 1 - digits.count)) + digits
  let whole = padded.dropLast(decimals)
  let sign = value < 0 && padded.contains { $0 != "0" } ? "-" : ""
  return decimals == 0 ? sign + whole : "\(sign)\(whole).\(padded.suffix(decimals))"
}

/// A number with a fixed count of decimals, and its error beside it.
func fixed(_ value: Double, error: Double, _ decimals: Int) -> String {
  "\(fixed(value, decimals)) ± \(fixed(error, decimals))"
}

/// A positive number with three decimals or none at all, never above the number.
func roundedDown(_ value: Double) -> String {
  value < 1000 ? fixed((value * 1000).rounded(.down) / 1000, 3) : fixed(value.rounded(.down), 0)
}

/// A number with so many significant digits, in the shorter of the usual notations.
func significant(_ value: Double, _ digits: Int) -> String {
  guard value.isFinite, value != 0 else { return value == 0 ? "0" : "\(value)" }
  var exponent = 0
  var mantissa = abs(value)
  while mantissa >= 10 { (mantissa, exponent) = (mantissa / 10, exponent + 1) }
  while mantissa < 1 { (mantissa, exponent) = (mantissa * 10, exponent - 1) }
  if fixed(mantissa, digits - 1).hasPrefix("10") { (mantissa, exponent) = (mantissa / 10, exponent + 1) }
  if (-4..<7).contains(exponent) { return fixed(value, max(0, digits - 1 - exponent)) }
  return "\(value < 0 ? "-" : "")\(fixed(mantissa, digits - 1))e\(exponent)"
}

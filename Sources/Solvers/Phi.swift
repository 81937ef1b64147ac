import RealModule

/// The functions of exponential integrators.
///
///     φ₀(z) = e^z,   φₖ₊₁(z) = (φₖ(z) − 1/k!)/z,   φₖ(0) = 1/k!
///
/// - Parameters:
///   - k: Which one, 0 or larger.
///   - z: Any finite number.
/// - Returns: `φₖ(z)`, to a few roundings.
///
/// Source: Hochbruck & Ostermann 2010, doi:10.1017/S0962492910000048, eq. 2.10–2.11.
public func phi(_ k: Int, _ z: Double) -> Double {
  guard k >= 0 else { fatalError("phi(\(k), \(z)): there is none of a negative index") }
  switch k {
  case 0: return .exp(z)
  // Not (e^z − 1)/z, which cancels as z → 0.
  case 1: return z == 0 ? 1 : .expMinusOne(z) / z
  default: break
  }
  var inverseFactorial = 1.0
  if z.magnitude > Double(k) {
    var value = Double.expMinusOne(z) / z
    for order in 1..<k {
      inverseFactorial /= Double(order)
      value = (value - inverseFactorial) / z
    }
    return value
  }
  // The recurrence cancels here: Σᵢ zⁱ/(i + k)!.
  for order in 1...k { inverseFactorial /= Double(order) }
  var (term, sum, i) = (inverseFactorial, inverseFactorial, 0.0)
  while term.magnitude > sum.magnitude * 0x1p-54 {
    i += 1
    term *= z / (i + Double(k))
    sum += term
  }
  return sum
}

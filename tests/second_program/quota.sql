-- Car quota: who may take part, from the departments' own tables; every condition that fails is told.
--
-- Written from the text of the law, for an auditor to read; it shares nothing with the rule that the exchange runs.
-- Read the tables, then the views: what the departments hold of persons and units, the conditions, then `finding`.

CREATE TABLE application (
  line BIGINT, case_no TEXT, type TEXT, region TEXT, day DATE, party_id TEXT, name TEXT, authorisation TEXT
);
-- What no table can say: a question that was refused, came late, or whose person was not identified.
CREATE TABLE missing (case_no TEXT, item TEXT, number BIGINT, why TEXT);
-- When the departments were asked, if that was not the day of the application: documents count as of then.
CREATE TABLE asked (case_no TEXT, day DATE);

CREATE SCHEMA police;
CREATE TABLE police.residence (party_id TEXT, kind TEXT);
CREATE TABLE police.identity_document (party_id TEXT, valid_until DATE);
CREATE TABLE police.driving_licence (party_id TEXT, valid_until DATE);
CREATE TABLE police.outsider (party_id TEXT);
CREATE TABLE police.stay (party_id TEXT, month DATE);
CREATE TABLE police.owned_car (party_id TEXT, status TEXT);
CREATE SCHEMA veterans;
CREATE TABLE veterans.soldier (party_id TEXT);
CREATE SCHEMA "social-security";
CREATE TABLE "social-security".insured_month (party_id TEXT, city TEXT, month DATE);
CREATE TABLE "social-security".insured_time (party_id TEXT, city TEXT, from_day DATE, until_day DATE);
CREATE TABLE "social-security".talent_card (party_id TEXT, valid_until DATE);
CREATE SCHEMA "transport-agency";
CREATE TABLE "transport-agency".quota (party_id TEXT, status TEXT);
CREATE TABLE "transport-agency".replacement (party_id TEXT);
CREATE TABLE "transport-agency".lottery_win (party_id TEXT, day DATE, used BIGINT);
CREATE SCHEMA market;
CREATE TABLE market.organisation (party_id TEXT, status TEXT, institution BIGINT);
CREATE SCHEMA tax;
CREATE TABLE tax.tax_paid (party_id TEXT, month DATE, fen BIGINT);
CREATE SCHEMA "development-reform";
CREATE TABLE "development-reform".large_investment (party_id TEXT, day DATE);

CREATE VIEW applicant AS
SELECT
  a.case_no, a.type, a.party_id, a.day, coalesce(q.day, a.day) AS asked, date_trunc('month', a.day)::DATE AS until,
  (date_trunc('month', a.day) - INTERVAL 36 MONTH)::DATE AS three_years_ago,
  (date_trunc('month', a.day) - INTERVAL 24 MONTH)::DATE AS two_years_ago,
  (date_trunc('month', a.day) - INTERVAL 12 MONTH)::DATE AS a_year_ago
FROM application a LEFT JOIN asked q USING (case_no)
WHERE a.region = '4401' AND a.day >= DATE '2012-07-01' AND a.type IN ('quota', 'quota-unit');

-- Times of insurance in this city, joined where one begins on the day after another ends, or earlier.
CREATE VIEW insured AS
SELECT party_id, min(from_day) AS since, max(until_day) AS until
FROM (
  SELECT *, sum(fresh::BIGINT) OVER (PARTITION BY party_id ORDER BY from_day, until_day ROWS UNBOUNDED PRECEDING) AS run
  FROM (
    SELECT *, coalesce(from_day > 1 + max(until_day) OVER (
      PARTITION BY party_id ORDER BY from_day, until_day ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ), true) AS fresh
    FROM "social-security".insured_time WHERE city = '4401' AND from_day <= until_day
  )
)
GROUP BY party_id, run;

CREATE VIEW lives AS
SELECT p.case_no
FROM applicant p
WHERE p.type = 'quota' AND (
  EXISTS (FROM police.residence t WHERE t.party_id = p.party_id AND t.kind = 'hukou')
  OR EXISTS (FROM veterans.soldier t WHERE t.party_id = p.party_id)
  OR EXISTS (FROM "social-security".talent_card t WHERE t.party_id = p.party_id AND t.valid_until >= p.asked)
  -- From Hong Kong, Macao, Taiwan or abroad: nine months here in each of the last two years.
  OR (EXISTS (FROM police.outsider t WHERE t.party_id = p.party_id)
    AND (SELECT count(DISTINCT month) FROM police.stay t
      WHERE t.party_id = p.party_id AND t.month >= p.a_year_ago AND t.month < p.until) >= 9
    AND (SELECT count(DISTINCT month) FROM police.stay t
      WHERE t.party_id = p.party_id AND t.month >= p.two_years_ago AND t.month < p.a_year_ago) >= 9)
  -- Until June 2018: a residence permit and insurance that has run for two years, by the day.
  OR (p.day < DATE '2018-07-01'
    AND EXISTS (FROM police.residence t WHERE t.party_id = p.party_id AND t.kind = 'permit')
    AND EXISTS (FROM insured t WHERE t.party_id = p.party_id AND p.asked BETWEEN t.since AND t.until
      AND make_date(year(t.since) + 2, month(t.since), 1) + (day(t.since) - 1)::INTEGER <= p.asked + 1))
  -- Since then: 24 different months of three years.
  OR (p.day >= DATE '2018-07-01'
    AND (SELECT count(DISTINCT month) FROM "social-security".insured_month t
      WHERE t.party_id = p.party_id AND t.city = '4401' AND t.month >= p.three_years_ago AND t.month < p.until) >= 24)
);

CREATE VIEW unit AS
SELECT
  u.*, EXISTS (FROM market.organisation t WHERE t.party_id = u.party_id AND t.status = 'valid') AS registered,
  EXISTS (FROM market.organisation t WHERE t.party_id = u.party_id AND t.institution = 1) AS institution,
  EXISTS (FROM "development-reform".large_investment t
    WHERE t.party_id = u.party_id AND t.day >= u.a_year_ago AND t.day < u.until) AS invests,
  (SELECT coalesce(sum(fen), 0) FROM tax.tax_paid t
    WHERE t.party_id = u.party_id AND t.month >= u.a_year_ago AND t.month < u.until) AS tax
FROM applicant u WHERE u.type = 'quota-unit';

-- Until June 2013: one code for 50,000 of tax, another for each 500,000 more, eight at most; an institution has one.
CREATE VIEW coded AS
SELECT
  *, day < DATE '2013-07-01' AS by_draft,
  greatest(if(tax < 5000000, 0, least(8, 1 + (tax - 5000000) // 50000000)), institution::BIGINT) AS codes
FROM unit;

CREATE VIEW failed AS
SELECT case_no, 'lives' AS code FROM applicant WHERE type = 'quota' AND case_no NOT IN (FROM lives)
UNION ALL SELECT case_no, 'identity' FROM applicant p WHERE type = 'quota'
  AND NOT EXISTS (FROM police.identity_document t WHERE t.party_id = p.party_id AND t.valid_until >= p.asked)
UNION ALL SELECT case_no, 'licence' FROM applicant p WHERE type = 'quota'
  AND NOT EXISTS (FROM police.driving_licence t WHERE t.party_id = p.party_id AND t.valid_until >= p.asked)
UNION ALL SELECT case_no, 'cars' FROM applicant p WHERE type = 'quota' AND EXISTS (
  FROM police.owned_car t WHERE t.party_id = p.party_id AND t.status NOT IN ('cancelled', 'scrapped', 'stolen'))
UNION ALL SELECT case_no, 'quotas' FROM applicant p WHERE type = 'quota'
  AND EXISTS (FROM "transport-agency".quota t WHERE t.party_id = p.party_id AND t.status = 'held')
UNION ALL SELECT case_no, 'replacement' FROM applicant p WHERE type = 'quota'
  AND EXISTS (FROM "transport-agency".replacement t WHERE t.party_id = p.party_id)
UNION ALL SELECT case_no, 'unused' FROM applicant p WHERE type = 'quota' AND EXISTS (
  FROM "transport-agency".lottery_win t
  WHERE t.party_id = p.party_id AND t.used = 0 AND t.day >= p.two_years_ago AND t.day < p.until)
UNION ALL SELECT case_no, 'registration' FROM coded WHERE NOT registered
UNION ALL SELECT case_no, 'tax' FROM coded WHERE by_draft AND codes = 0
UNION ALL SELECT case_no, 'tax' FROM coded WHERE NOT by_draft AND NOT (tax >= 1000000 OR invests OR institution);

CREATE VIEW finding AS
SELECT
  a.case_no,
  CASE
    WHEN a.case_no IN (SELECT case_no FROM missing) THEN 'incomplete'
    WHEN f.codes IS NULL THEN 'eligible' ELSE 'excluded'
  END AS outcome,
  if(c.by_draft, c.codes, NULL) AS codes, coalesce(f.codes, []) AS reasons
FROM applicant a
LEFT JOIN coded c USING (case_no)
LEFT JOIN (SELECT case_no, list(code ORDER BY code) AS codes FROM failed GROUP BY case_no) f USING (case_no);

-- Household economic status: what has to be found about each household, from the departments' own tables.
--
-- Written from the text of the law, for an auditor to read; it shares nothing with the rule that the exchange runs.
-- Fractions are whole numbers here: money in tenths of a fen, shares of a dwelling in 720,720ths (1 to 16 owners).
-- Read the tables, then the view `finding` from its top: who counts, what excludes, then the income.

CREATE TABLE application (
  line BIGINT, case_no TEXT, type TEXT, region TEXT, day DATE, party_id TEXT, name TEXT, authorisation TEXT
);
-- What no table can say: a question that was refused, came late, or whose person was not identified.
CREATE TABLE missing (case_no TEXT, item TEXT, number BIGINT, why TEXT);

CREATE SCHEMA police;
CREATE TABLE police.known_party (party_id TEXT);
CREATE TABLE police.civil_status (party_id TEXT, state TEXT, marriage TEXT);
CREATE TABLE police.owned_car (party_id TEXT, adapted BIGINT, status TEXT);
CREATE SCHEMA tax;
CREATE TABLE tax.wage (party_id TEXT, month DATE, fen BIGINT);
CREATE TABLE tax.employment (party_id TEXT, since DATE);
CREATE SCHEMA "social-security";
CREATE TABLE "social-security".pension_month (party_id TEXT, month DATE, fen BIGINT);
CREATE TABLE "social-security".insured_base (party_id TEXT, month DATE, base BIGINT, floor BIGINT);
CREATE SCHEMA "housing-fund";
CREATE TABLE "housing-fund".fund_payment (party_id TEXT, month DATE);
CREATE SCHEMA planning;
CREATE TABLE planning.certificate (unit TEXT, party_id TEXT, share BIGINT, shares BIGINT, area BIGINT, use TEXT);
CREATE SCHEMA market;
CREATE TABLE market.shareholder (party_id TEXT);
CREATE SCHEMA health;
CREATE TABLE health.death_certificate (party_id TEXT);
CREATE TABLE health.treatment (party_id TEXT, month DATE, fen BIGINT);
CREATE SCHEMA disabled;
CREATE TABLE disabled.card_holder (party_id TEXT, status TEXT);
CREATE SCHEMA banking;
CREATE TABLE banking.deposit (party_id TEXT, fen BIGINT);
CREATE SCHEMA securities;
CREATE TABLE securities.security (party_id TEXT, fen BIGINT);
CREATE SCHEMA justice;
CREATE TABLE justice.prisoner (party_id TEXT);
CREATE SCHEMA court;
CREATE TABLE court.judgment (party_id TEXT, kind TEXT);
CREATE SCHEMA veterans;
CREATE TABLE veterans.conscript (party_id TEXT);
CREATE TABLE veterans.service_pension (party_id TEXT, month DATE, fen BIGINT);
CREATE SCHEMA religion;
CREATE TABLE religion.clergy (party_id TEXT, apart_years BIGINT);
CREATE SCHEMA education;
CREATE TABLE education.student (party_id TEXT, full_time BIGINT);
CREATE TABLE education.school_fee (party_id TEXT, month DATE, fen BIGINT);

CREATE VIEW finding AS
WITH
-- Money in fen, area in m2 a head, cost of work and edge in tenths. Before 2020 there is neither cost nor edge.
law (region, from_day, until_day, standard, limit_of_assets, mean_area, work_cost, edge) AS (
  VALUES
    ('4401', DATE '2016-01-01', DATE '2017-12-31', 84000, 24 * 84000, 22, 0, NULL),
    ('4401', DATE '2018-01-01', DATE '2019-12-31', 95000, 24 * 95000, 22, 0, NULL),
    ('4401', DATE '2020-01-01', DATE '9999-12-31', 108000, 24 * 108000, 24, 1, 15)
),
-- Each person of an application, numbered in its order. The window is the three months before that of the day.
person AS (
  SELECT
    a.case_no, a.party_id, row_number() OVER (PARTITION BY a.case_no ORDER BY a.line) AS n,
    date_trunc('month', a.day)::DATE AS until, (date_trunc('month', a.day) - INTERVAL 3 MONTH)::DATE AS since,
    (date_trunc('month', a.day) - INTERVAL 6 MONTH)::DATE AS new_since, law.*
  FROM application a JOIN law ON law.region = a.region AND a.day BETWEEN law.from_day AND law.until_day
  WHERE a.type = 'household'
),
-- Who is looked at, and what the departments hold about them.
told AS (
  SELECT
    p.*, s.state, s.marriage,
    (SELECT coalesce(sum(fen), 0) FROM tax.wage t
      WHERE t.party_id = p.party_id AND t.month >= p.since AND t.month < p.until) AS paid,
    (SELECT coalesce(sum(fen), 0) FROM "social-security".pension_month t
      WHERE t.party_id = p.party_id AND t.month >= p.since AND t.month < p.until) AS pensions,
    (SELECT coalesce(sum(fen), 0) FROM veterans.service_pension t
      WHERE t.party_id = p.party_id AND t.month >= p.since AND t.month < p.until) AS for_service,
    (SELECT coalesce(sum(fen), 0) FROM health.treatment t
      WHERE t.party_id = p.party_id AND t.month >= p.since AND t.month < p.until) AS treatment,
    (SELECT coalesce(sum(fen), 0) FROM education.school_fee t
      WHERE t.party_id = p.party_id AND t.month >= p.since AND t.month < p.until) AS school,
    (SELECT coalesce(sum(fen), 0) FROM banking.deposit t WHERE t.party_id = p.party_id) AS deposits,
    (SELECT coalesce(sum(fen), 0) FROM securities.security t WHERE t.party_id = p.party_id) AS securities,
    EXISTS (FROM tax.employment t WHERE t.party_id = p.party_id AND t.since >= p.new_since) AS new_job,
    EXISTS (FROM "social-security".insured_base t
      WHERE t.party_id = p.party_id AND t.month >= p.since AND t.month < p.until AND t.base > t.floor) AS above_floor,
    EXISTS (FROM "housing-fund".fund_payment t
      WHERE t.party_id = p.party_id AND t.month >= p.since AND t.month < p.until) AS fund,
    EXISTS (FROM police.owned_car t
      WHERE t.party_id = p.party_id AND t.status = 'registered' AND t.adapted = 0) AS car,
    EXISTS (FROM police.owned_car t
      WHERE t.party_id = p.party_id AND t.status = 'registered' AND t.adapted = 1) AS adapted,
    EXISTS (FROM disabled.card_holder t WHERE t.party_id = p.party_id AND t.status = 'valid') AS card,
    EXISTS (FROM market.shareholder t WHERE t.party_id = p.party_id) AS company,
    EXISTS (FROM health.death_certificate t WHERE t.party_id = p.party_id) AS death_certified,
    EXISTS (FROM justice.prisoner t WHERE t.party_id = p.party_id) AS prisoner,
    EXISTS (FROM court.judgment t WHERE t.party_id = p.party_id AND t.kind = 'divorce') AS divorced_by_court,
    EXISTS (FROM veterans.conscript t WHERE t.party_id = p.party_id) AS conscript,
    EXISTS (FROM religion.clergy t WHERE t.party_id = p.party_id AND t.apart_years >= 1) AS clergy_apart,
    EXISTS (FROM education.student t WHERE t.party_id = p.party_id AND t.full_time = 1) AS full_time
  FROM person p LEFT JOIN police.civil_status s ON s.party_id = p.party_id
),
-- The register is not the household: some do not count, and neither does what is paid to them.
standing AS (
  SELECT *, CASE
    WHEN state = 'dead' AND pensions > 0 THEN 'dead_with_pension'
    WHEN state = 'dead' THEN 'dead'
    WHEN prisoner THEN 'custody'
    WHEN conscript AND marriage IS DISTINCT FROM 'married' THEN 'conscript'
    WHEN clergy_apart THEN 'clergy'
  END AS out_by
  FROM told
),
-- A dwelling is one, however many certificates it has, and a share of it is a share.
owned AS (
  SELECT party_id, unit, max(share * 720720 // shares) AS part, max(area) AS area, bool_and(use = 'home') AS home
  FROM planning.certificate GROUP BY party_id, unit
),
member AS (
  SELECT
    s.*, greatest(paid, 0) AS wages, greatest(pensions, 0) AS pension,
    -- Of a new job, only what is above three standards a month counts; going to work costs a tenth of what counts.
    CASE WHEN new_job THEN greatest(paid - 3 * 3 * standard, 0) ELSE greatest(paid, 0) END * (10 - work_cost)
      AS wage_tenths,
    least(greatest(for_service, 0), greatest(pensions, 0)) AS exempt,
    deposits > limit_of_assets OR securities > limit_of_assets AS over_limit,
    (SELECT coalesce(sum(part), 0) FROM owned o WHERE o.party_id = s.party_id AND home) AS homes,
    (SELECT coalesce(sum(part * area), 0) FROM owned o WHERE o.party_id = s.party_id AND home) AS area,
    (SELECT count(*) FROM owned o WHERE o.party_id = s.party_id AND NOT home) AS others,
    bool_or(card) OVER (PARTITION BY case_no) AS card_in_household
  FROM standing s WHERE out_by IS NULL
),
household AS (
  SELECT
    case_no, count(*) AS members, any_value(standard) AS standard, any_value(mean_area) AS mean_area,
    any_value(edge) AS edge, sum(wage_tenths + 10 * (pension - exempt)) AS tenths,
    10 * sum(treatment + school) AS costs_tenths, count(*) FILTER (over_limit) AS over_limit,
    sum(homes) AS homes, sum(area) AS area, sum(others) AS others, max(others) AS most_others
  FROM member GROUP BY case_no
),
-- What a person has to look at, because the departments' tables leave it open.
doubt AS (
  SELECT case_no, 'not_in_register/' || n AS code FROM member WHERE state IS NULL
  UNION ALL SELECT case_no, 'death_certified/' || n FROM member WHERE state IS NOT NULL AND death_certified
  UNION ALL SELECT case_no, 'moved_out/' || n FROM member WHERE state = 'moved_out' AND NOT full_time AND NOT death_certified
  UNION ALL SELECT case_no, 'divorce_open/' || n FROM member WHERE divorced_by_court AND marriage = 'married'
  UNION ALL SELECT case_no, 'spouse_missing' FROM standing WHERE state IS DISTINCT FROM 'dead'
    GROUP BY case_no HAVING count(*) FILTER (marriage = 'married') % 2 = 1
  UNION ALL SELECT case_no, 'nobody_counts' FROM standing GROUP BY case_no HAVING count(*) FILTER (out_by IS NULL) = 0
  UNION ALL SELECT case_no, 'work_without_wages/' || n FROM member WHERE wages = 0 AND (above_floor OR fund)
  UNION ALL SELECT case_no, 'company/' || n FROM member WHERE company
  UNION ALL SELECT case_no, 'adapted_for_another/' || n FROM member WHERE adapted AND NOT card AND card_in_household
  UNION ALL SELECT case_no, 'deposits_of_some' FROM household WHERE over_limit BETWEEN 1 AND members - 1
  UNION ALL SELECT case_no, 'other_property_of_several' FROM household
    WHERE others > 1 AND most_others = 1 AND homes = 0
),
-- What is owned and excludes aid.
exclusion AS (
  SELECT case_no, 'car/' || n AS code FROM member WHERE car
  UNION ALL SELECT case_no, 'adapted_without_card/' || n FROM member WHERE adapted AND NOT card_in_household
  UNION ALL SELECT case_no, 'deposits' FROM household WHERE over_limit = members
  UNION ALL SELECT case_no, 'homes' FROM household
    WHERE homes >= 2 * 720720 AND area >= mean_area * members * 720720
  UNION ALL SELECT case_no, 'other_property' FROM household WHERE others > 0 AND (homes > 0 OR most_others > 1)
),
-- What is told because it explains the numbers.
remark AS (
  SELECT case_no, out_by || '/' || n AS code FROM standing WHERE out_by IS NOT NULL
  UNION ALL SELECT case_no, 'adapted_with_card/' || n FROM member WHERE adapted AND card
  UNION ALL SELECT case_no, 'only_home' FROM household WHERE others = 1 AND homes = 0
  UNION ALL SELECT case_no, 'new_job/' || n FROM member WHERE wages > 0 AND new_job
  UNION ALL SELECT case_no, 'work_cost/' || n FROM member WHERE wages > 0 AND NOT new_job AND work_cost > 0
  UNION ALL SELECT case_no, 'service_pension/' || n FROM member WHERE exempt > 0
),
-- Nothing is concluded without an answer; whom the police do not know is not identified.
unanswered AS (
  SELECT case_no, item || '/' || number AS code FROM missing
  UNION SELECT case_no, 'register/' || n FROM person WHERE party_id NOT IN (SELECT party_id FROM police.known_party)
),
-- The income of three months and all members, against so many standards.
judged AS (
  SELECT *, tenths < 30 * standard * members AS below, tenths - costs_tenths < 30 * standard * members AS hard,
    10 * tenths <= 30 * edge * standard * members AS at_edge,
    EXISTS (FROM unanswered u WHERE u.case_no = c.case_no) AS incomplete,
    EXISTS (FROM doubt d WHERE d.case_no = c.case_no) AS doubted,
    EXISTS (FROM exclusion e WHERE e.case_no = c.case_no) AS excluded
  FROM (SELECT DISTINCT case_no FROM person) c LEFT JOIN household USING (case_no)
),
concluded AS (
  SELECT *, CASE
    WHEN incomplete THEN 'incomplete'
    WHEN doubted THEN 'to_a_person'
    WHEN excluded THEN 'ineligible'
    WHEN below THEN 'eligible'
    WHEN edge IS NOT NULL AND hard THEN 'hardship'
    WHEN at_edge THEN 'edge'
    ELSE 'ineligible'
  END AS outcome
  FROM judged
),
reason AS (
  SELECT case_no, code FROM unanswered
  UNION ALL SELECT case_no, code FROM (FROM doubt UNION ALL FROM exclusion UNION ALL FROM remark)
    JOIN concluded USING (case_no) WHERE outcome <> 'incomplete'
  UNION ALL SELECT case_no, if(below, 'income_below', 'income_not_below') FROM concluded
    WHERE outcome NOT IN ('incomplete', 'to_a_person')
  UNION ALL SELECT case_no, 'nothing_excludes' FROM concluded WHERE outcome = 'eligible'
  UNION ALL SELECT case_no, outcome FROM concluded WHERE outcome IN ('hardship', 'edge')
)
SELECT
  case_no, outcome,
  if(outcome IN ('incomplete', 'to_a_person'), NULL, members) AS members,
  -- In fen, half a fen up.
  CASE
    WHEN outcome IN ('incomplete', 'to_a_person') THEN NULL
    WHEN outcome = 'eligible' THEN (30 * standard * members - tenths + 15) // 30
    ELSE 0
  END AS aid_fen,
  (SELECT list(code ORDER BY code) FROM reason r WHERE r.case_no = c.case_no) AS reasons
FROM concluded c;
